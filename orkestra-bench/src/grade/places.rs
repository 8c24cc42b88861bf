//! Where solutions and hidden tests run.

use std::path::Path;

use orkestra_tools::{DockerOptions, DockerSandbox, LocalOptions, LocalSandbox, Network, Sandbox, SandboxError};

/// The image that `docker/grading/build` makes: the sandbox image with the packages that tasks allow.
pub const GRADING_IMAGE: &str = "orkestra-grading:latest";

/// The user of the hidden tests, where this process may give a directory to another user: not that of the solution.
#[cfg(unix)]
const TESTS_USER: u32 = 61_001;

/// Where solutions and hidden tests run. Neither has a network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GradingPlace {
    /// In two containers of this image.
    Docker {
        /// The image, which is never pulled.
        image: String,
        /// The runtime of the containers, such as `runsc`; `None` for the daemon's default.
        runtime: Option<String>,
    },
    /// In two local sandboxes of this machine, with what is installed on it. Weaker: both are the same user.
    Local,
}

impl Default for GradingPlace {
    fn default() -> Self {
        Self::Docker { image: GRADING_IMAGE.to_owned(), runtime: None }
    }
}

impl GradingPlace {
    /// Whether it can be used now.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`]; its message says what to do.
    pub async fn check(&self) -> Result<(), SandboxError> {
        let Some(options) = self.docker() else { return Ok(()) };
        DockerSandbox::available_with(&options).await.map(drop).map_err(|error| {
            SandboxError::Unavailable(format!("{error}; docker/grading/build makes the image {GRADING_IMAGE}"))
        })
    }

    /// It in words, with what is not confined.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Docker { image, runtime } => {
                let runtime = runtime.as_ref().map(|runtime| format!(" ({runtime})")).unwrap_or_default();
                format!("graded in two containers of {image}{runtime}, without a network")
            }
            Self::Local => {
                "graded in two local sandboxes of one user, which a solution may find; Docker separates better"
                    .to_owned()
            }
        }
    }

    fn docker(&self) -> Option<DockerOptions> {
        let Self::Docker { image, runtime } = self else { return None };
        let options = DockerOptions::default().with_image(image).with_network(Network::None);
        Some(runtime.iter().fold(options, DockerOptions::with_runtime))
    }

    /// Starts a sandbox on this directory.
    pub(super) async fn start(&self, directory: &Path, role: &str) -> Result<Box<dyn Sandbox>, SandboxError> {
        match self.docker() {
            Some(options) => {
                let name = format!("grading-{role}");
                Ok(Box::new(DockerSandbox::start(options, &name, directory).await?))
            }
            None => Ok(Box::new(LocalSandbox::start(LocalOptions::default(), directory).await?)),
        }
    }

    /// Starts the sandbox of the hidden tests: as another user than the solution's, where this process may choose one.
    pub(super) async fn start_tests(&self, directory: &Path) -> Result<Box<dyn Sandbox>, SandboxError> {
        #[cfg(unix)]
        if matches!(self, Self::Docker { .. }) && rustix::process::geteuid().is_root() {
            let given = give_to(directory, TESTS_USER);
            given.map_err(|error| SandboxError::Failed(format!("cannot give the tests to their user: {error}")))?;
        }
        self.start(directory, "tests").await
    }
}

/// Gives a flat directory to a user.
#[cfg(unix)]
fn give_to(directory: &Path, user: u32) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        std::os::unix::fs::chown(entry?.path(), Some(user), Some(user))?;
    }
    std::os::unix::fs::chown(directory, Some(user), Some(user))
}
