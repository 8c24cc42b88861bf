//! The connection to the Docker daemon: connecting, its capabilities, and errors that an operator can act on.

use std::error::Error as _;
use std::future::Future;
use std::io;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::SystemInfo;

use super::super::SandboxError;
use super::{DockerInfo, DockerOptions};
use crate::limits::MACHINERY_TIMEOUT;

/// Connects and negotiates the API version.
pub(super) async fn connect(options: &DockerOptions) -> Result<Docker, SandboxError> {
    let first = match &options.host {
        Some(host) => Docker::connect_with_host(host),
        None => Docker::connect_with_defaults(),
    };
    match negotiate(first).await {
        Ok(docker) => Ok(docker),
        Err(error) if options.host.is_some() => Err(unavailable(&error)),
        Err(error) => match negotiate(Docker::connect_with_podman_defaults()).await {
            Ok(docker) => Ok(docker),
            Err(_) => Err(unavailable(&error)),
        },
    }
}

async fn negotiate(docker: Result<Docker, Error>) -> Result<Docker, Error> {
    let docker = docker?;
    match tokio::time::timeout(MACHINERY_TIMEOUT, docker.negotiate_version()).await {
        Ok(docker) => docker,
        Err(_) => Err(Error::RequestTimeoutError),
    }
}

pub(super) async fn info(docker: &Docker) -> Result<DockerInfo, SandboxError> {
    let info = within("get the daemon's info", docker.info()).await?;
    let options = info.security_options.clone().unwrap_or_default();
    Ok(DockerInfo {
        unsupported: unsupported(&info),
        version: info.server_version.unwrap_or_default(),
        cgroup_version: info.cgroup_version.map_or_else(String::new, |version| version.to_string()),
        rootless: options.iter().any(|option| option.contains("rootless")),
    })
}

/// The limits that the kernel's control groups do not support. A limit that the daemon does not mention counts as supported.
fn unsupported(info: &SystemInfo) -> Vec<String> {
    let limits = [
        ("memory", info.memory_limit),
        ("swap", info.swap_limit),
        ("cpu", info.cpu_cfs_quota.zip(info.cpu_cfs_period).map(|(quota, period)| quota && period)),
        ("processes", info.pids_limit),
    ];
    limits.into_iter().filter(|(_, has)| *has == Some(false)).map(|(name, _)| name.to_owned()).collect()
}

pub(super) async fn require_image(docker: &Docker, image: &str) -> Result<(), SandboxError> {
    match tokio::time::timeout(MACHINERY_TIMEOUT, docker.inspect_image(image)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if status(&error) == Some(404) => Err(SandboxError::Unavailable(format!(
            "the sandbox image `{image}` is not on this machine; build it with docker/sandbox/build"
        ))),
        Ok(Err(error)) => Err(failed("inspect image", &error)),
        Err(_) => Err(timed_out("inspect image")),
    }
}

/// A call to the daemon with a timeout.
pub(super) async fn within<T>(
    what: &str,
    call: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, SandboxError> {
    match tokio::time::timeout(MACHINERY_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| failed(what, &error)),
        Err(_) => Err(timed_out(what)),
    }
}

/// The HTTP status of the daemon's answer, if it answered.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

pub(super) fn failed(what: &str, error: &Error) -> SandboxError {
    SandboxError::Failed(format!("cannot {what}: {}", chain(error)))
}

fn timed_out(what: &str) -> SandboxError {
    SandboxError::Failed(format!("cannot {what}: the daemon did not answer within {} s", MACHINERY_TIMEOUT.as_secs()))
}

fn unavailable(error: &Error) -> SandboxError {
    let why = chain(error);
    SandboxError::Unavailable(if is_denied(error) {
        format!(
            "this user may not use Docker's socket ({why}); add the user to the group `docker`, or set DOCKER_HOST to a \
             rootless daemon"
        )
    } else {
        format!("Docker does not answer ({why}); start it, or Podman's socket")
    })
}

fn is_denied(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if current.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = current.source();
    }
    false
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let said = current.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = current.source();
    }
    text
}
