//! The container of a run: how it is locked down, created, found again and removed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerCreateResponse, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};

use super::super::owner::Owner;
use super::super::{Confinement, ENVIRONMENT, SandboxError, hash};
use super::daemon::within;
use super::probe::Seen;
use super::remove::{list, remove};
use super::{DockerInfo, DockerOptions, Network, syscalls};
use crate::egress;
use crate::limits::{
    SANDBOX_FILE_BYTES_MAX, SANDBOX_OPEN_FILES_MAX, SANDBOX_SCRATCH_BYTES, SANDBOX_SCRATCH_FILES_MAX, SANDBOX_USER,
};
use crate::workspace::Workspace;

/// Where the workspace is mounted.
pub(super) const WORKSPACE: &str = "/workspace";
const HOME: &str = "/home/agent";

/// Processes of the user on the whole machine, where Podman has to be told a number.
const PODMAN_NPROC: u64 = 32_768;

pub(super) const LABEL_RUN: &str = "orkestra.run";
const LABEL_PLACE: &str = "orkestra.place";
pub(super) const LABEL_OWNER: &str = "orkestra.owner";

/// The configuration of one container before it exists.
pub(super) struct Setup {
    name: String,
    /// A hash of run and workspace: two stores may both have a run `r1`, and must not take each other's container.
    place: String,
    run_id: String,
    user: (u32, u32),
    source: String,
    options: DockerOptions,
    info: DockerInfo,
    /// The directory with the socket of the egress proxy, on the host.
    proxy: Option<String>,
    /// Whether the daemon knows an owner and a number of files for scratch space.
    takes_mount_options: bool,
}

impl Setup {
    /// Blocking: it may give the workspace to another user.
    pub(super) fn new(
        options: DockerOptions,
        info: &DockerInfo,
        run_id: &str,
        workspace: &Workspace,
        proxy: Option<PathBuf>,
    ) -> Result<Self, SandboxError> {
        let text = |what: &str, path: &Path| match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(SandboxError::Failed(format!("cannot mount {what} {}: its path is not UTF-8", path.display()))),
        };
        let source = text("the workspace", workspace.path())?;
        let proxy = proxy.map(|path| text("the egress proxy's directory", &path)).transpose()?;
        let place = hash(&[run_id.as_bytes(), source.as_bytes()]);
        let readable: String = run_id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        Ok(Self {
            name: format!("orkestra-{readable}-{place}"),
            place,
            run_id: run_id.to_owned(),
            user: user(workspace, info)?,
            source,
            options,
            info: info.clone(),
            proxy,
            takes_mount_options: true,
        })
    }

    /// Removes a container left by this run, then creates and starts a new one; returns its id. Leaves nothing behind on
    /// failure.
    pub(super) async fn create(&mut self, docker: &Docker) -> Result<String, SandboxError> {
        for (id, _) in list(docker, format!("{LABEL_PLACE}={}", self.place)).await? {
            remove(docker, &id).await?;
        }
        let created = self.create_as_it_is_taken(docker).await?;
        for warning in &created.warnings {
            tracing::warn!(container = %self.name, %warning, "the Docker daemon reported a warning about the container");
        }
        if let Err(error) =
            within("start container", docker.start_container(&created.id, None::<StartContainerOptions>)).await
        {
            let _ = remove(docker, &created.id).await;
            let needs_python = self.proxy.is_some() && error.to_string().contains("python3");
            return Err(if needs_python {
                SandboxError::Unavailable(format!(
                    "the network `registries` needs python3 in the image `{}`; build it with docker/sandbox/build ({error})",
                    self.options.image
                ))
            } else {
                error
            });
        }
        Ok(created.id)
    }

    /// Creates the container. Podman (4.3) wants two things otherwise than Docker, which it says when it refuses them.
    async fn create_as_it_is_taken(&mut self, docker: &Docker) -> Result<ContainerCreateResponse, SandboxError> {
        let mut profile = syscalls::profile();
        let mut file = None;
        loop {
            let named = CreateContainerOptionsBuilder::new().name(&self.name).build();
            let created = docker.create_container(Some(named), self.body(&profile));
            let error = match within("create container", created).await {
                Ok(created) => return Ok(created),
                Err(error) => error,
            };
            let said = error.to_string();
            if self.takes_mount_options && said.contains("unknown mount option") {
                self.takes_mount_options = false;
            } else if file.is_none() && said.contains("opening seccomp profile failed") {
                // The path of a file on the daemon's machine, which is this one: it mounts the workspace.
                let failed =
                    |error| SandboxError::Failed(format!("cannot write the seccomp profile to a file: {error}"));
                let path = file.insert(profile_file(&profile).map_err(failed)?).path();
                profile = path.to_string_lossy().into_owned();
            } else {
                return Err(error);
            }
        }
    }

    fn body(&self, profile: &str) -> ContainerCreateBody {
        let labels =
            [(LABEL_RUN, self.run_id.clone()), (LABEL_PLACE, self.place.clone()), (LABEL_OWNER, Owner::this().text())];
        let mut environment: Vec<String> = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
        environment.push(format!("HOME={HOME}"));
        environment.push("TMPDIR=/tmp".to_owned());
        let network = match self.options.network {
            Network::None => egress::no_network_environment(),
            Network::Registries => egress::environment(&self.options.egress.registries),
            Network::Open => Vec::new(),
        };
        environment.extend(network.iter().map(|(name, value)| format!("{name}={value}")));
        // When the forwarder ends, so does the container, and the next command starts both again.
        let mut main =
            if self.proxy.is_some() { egress::forwarder() } else { ["sleep", "infinity"].map(str::to_owned).into() };
        let arguments = main.split_off(1);
        ContainerCreateBody {
            image: Some(self.options.image.clone()),
            // Set both, so that an entry point of the image never runs.
            entrypoint: Some(main),
            cmd: Some(arguments),
            user: Some(self.user()),
            working_dir: Some(WORKSPACE.to_owned()),
            hostname: Some("sandbox".to_owned()),
            env: Some(environment),
            labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            network_disabled: Some(self.options.network != Network::Open),
            host_config: Some(self.host_config(profile)),
            ..Default::default()
        }
    }

    fn host_config(&self, profile: &str) -> HostConfig {
        let options = &self.options;
        let memory = signed(options.memory_bytes);
        HostConfig {
            init: Some(true),
            network_mode: Some(if options.network == Network::Open { "bridge" } else { "none" }.to_owned()),
            runtime: options.runtime.clone(),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(self.security(profile)),
            privileged: Some(false),
            readonly_rootfs: Some(true),
            mounts: Some(self.mounts()),
            tmpfs: Some(self.scratch()),
            memory: self.supports("memory").then_some(memory),
            // Equal to memory: no additional swap.
            memory_swap: (self.supports("memory") && self.supports("swap")).then_some(memory),
            nano_cpus: self.supports("cpu").then_some(i64::from(options.cpu_millis) * 1_000_000),
            pids_limit: self.supports("processes").then_some(i64::from(options.processes_max)),
            ulimits: Some(self.limits_per_process()),
            ipc_mode: Some("private".to_owned()),
            // The main process prints nothing, and the output of commands must not pile up in the daemon's logs.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..Default::default()
        }
    }

    fn limits_per_process(&self) -> Vec<ResourcesUlimits> {
        let mut limits = vec![
            ulimit("core", 0),
            ulimit("fsize", signed(SANDBOX_FILE_BYTES_MAX)),
            ulimit("nofile", signed(SANDBOX_OPEN_FILES_MAX)),
        ];
        if !self.takes_mount_options {
            // NOTE: Podman otherwise sets 1,048,576, which fails where root itself is confined (no CAP_SYS_RESOURCE).
            let most = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
            limits.push(ulimit("nproc", signed(most.unwrap_or(PODMAN_NPROC).min(PODMAN_NPROC))));
        }
        limits
    }

    fn security(&self, profile: &str) -> Vec<String> {
        let mut options = vec!["no-new-privileges:true".to_owned()];
        // A daemon without seccomp refuses a container that has a profile.
        if self.info.seccomp.is_some() {
            options.push(format!("seccomp={profile}"));
        }
        options
    }

    fn mounts(&self) -> Vec<Mount> {
        let bind = |source: String, target: &str, is_read_only: bool| Mount {
            typ: Some(MountType::BIND),
            source: Some(source),
            target: Some(target.to_owned()),
            read_only: Some(is_read_only),
            ..Default::default()
        };
        let mut mounts = vec![bind(self.source.clone(), WORKSPACE, false)];
        if let Some(proxy) = &self.proxy {
            mounts.push(bind(proxy.clone(), egress::CONFIG_DIRECTORY, true));
            mounts.push(bind(format!("{proxy}/cargo"), egress::CARGO_DIRECTORY, true));
        }
        mounts
    }

    /// Mounted executable, because builds run what they unpack (the workspace is executable anyway). Owned by the container's
    /// only user, because the daemon gives a mount the mode of the image's directory, whatever mode is requested.
    fn scratch(&self) -> HashMap<String, String> {
        let (uid, gid) = self.user;
        let mut options = format!("rw,exec,nosuid,nodev,size={SANDBOX_SCRATCH_BYTES},");
        if self.takes_mount_options {
            options.push_str(&format!("uid={uid},gid={gid},mode=0700,nr_inodes={SANDBOX_SCRATCH_FILES_MAX}"));
        } else {
            // Podman's word for the container's user.
            options.push('U');
        }
        ["/tmp", HOME].map(|place| (place.to_owned(), options.clone())).into()
    }

    fn supports(&self, limit: &str) -> bool {
        !self.info.unsupported.iter().any(|unsupported| unsupported == limit)
    }

    fn user(&self) -> String {
        format!("{}:{}", self.user.0, self.user.1)
    }

    /// What is in force, with what the probe has seen from inside.
    pub(super) fn report(&self, seen: &Seen) -> Confinement {
        let options = &self.options;
        let mut report = Confinement::default();
        report.enforced.push(format!(
            "a container with a read-only root, no capabilities and no new privileges; user {}; only the workspace is mounted",
            self.user()
        ));
        report_filter(seen, &mut report);
        if !self.takes_mount_options {
            report
                .gaps
                .push("this daemon cannot limit the number of files in scratch space, only their size".to_owned());
        }
        self.report_network(&mut report);
        let limits = [
            ("memory", format!("memory {} bytes", options.memory_bytes)),
            ("swap", "no swap".to_owned()),
            ("cpu", format!("CPU {} thousandths of a core", options.cpu_millis)),
            ("processes", format!("at most {} processes", options.processes_max)),
        ];
        for (name, text) in limits {
            if self.supports(name) {
                report.enforced.push(text);
            } else {
                report
                    .gaps
                    .push(format!("this daemon cannot limit {name} (its kernel's control groups do not support it)"));
            }
        }
        if self.user.0 == 0 && self.info.rootless {
            report.gaps.push(
                "the daemon is rootless: commands run as root in the container, without capabilities, which on the host is the user of the daemon"
                    .to_owned(),
            );
        } else if self.user.0 == 0 {
            report.gaps.push(
                "the workspace belongs to root, so commands run as root in the container, without capabilities"
                    .to_owned(),
            );
        }
        match &options.runtime {
            Some(runtime) => report.enforced.push(format!("the container runs in the runtime `{runtime}`")),
            None => report.gaps.push("the kernel is shared with the host".to_owned()),
        }
        report
    }

    fn report_network(&self, report: &mut Confinement) {
        let options = &self.options;
        match options.network {
            Network::None => report.enforced.push("no network".to_owned()),
            Network::Registries => report.enforced.push(format!(
                "no network but a proxy, for package registries ({}) and {} allowed hosts; names are not resolved inside",
                options.egress.registries.iter().map(|registry| registry.ecosystem().name()).collect::<Vec<_>>().join(", "),
                options.egress.allowed.len()
            )),
            Network::Open => report.gaps.push(
                "the network is open: the internet, other containers on the bridge, and services of the host and its private network".to_owned(),
            ),
        }
    }
}

/// A daemon of another user has to read it.
fn profile_file(profile: &str) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tempfile::Builder::new().prefix("orkestra-seccomp-").suffix(".json").tempfile()?;
    std::fs::write(file.path(), profile)?;
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644))?;
    Ok(file)
}

fn report_filter(seen: &Seen, report: &mut Confinement) {
    if seen.filtered {
        report.enforced.push("system calls are filtered by a seccomp profile of our own".to_owned());
    } else {
        report.gaps.push(
            "system calls are not filtered in the container (its daemon or runtime does not apply a seccomp profile)"
                .to_owned(),
        );
    }
    if seen.set_id {
        report.gaps.push(
            "commands can make set-user-id files in the workspace; their modes are reset when the sandbox is closed or started"
                .to_owned(),
        );
    } else {
        report.enforced.push("no set-user-id or set-group-id files can be made".to_owned());
    }
}

/// The user of the container: the owner of the workspace, so that both sides can write. Commands never run as root where that
/// can be helped: root's workspace is given to a user that nothing else uses.
fn user(workspace: &Workspace, info: &DockerInfo) -> Result<(u32, u32), SandboxError> {
    let failed = |what: &str, error: &std::io::Error| SandboxError::Failed(format!("cannot {what}: {error}"));
    let owner = workspace.owner().map_err(|error| failed("read the workspace's owner", &error))?;
    // Root in the container of a rootless daemon is the ordinary user that runs it, and no other number is.
    if info.rootless && owner.0 == rustix::process::geteuid().as_raw() {
        return Ok((0, 0));
    }
    if owner.0 != 0 || info.rootless || !rustix::process::geteuid().is_root() {
        return Ok(owner);
    }
    let given = workspace.give_to(SANDBOX_USER, SANDBOX_USER);
    given.map_err(|error| failed("give root's workspace to the sandbox's user", &error))?;
    Ok((SANDBOX_USER, SANDBOX_USER))
}

fn ulimit(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(most), hard: Some(most) }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
