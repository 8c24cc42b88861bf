//! Finds and removes containers of ours, also those that a dead process left.

use std::collections::HashMap;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};

use super::super::SandboxError;
use super::super::owner::Owner;
use super::container::{LABEL_OWNER, LABEL_RUN};
use super::daemon::{failed, status, within};

/// How the ids begin under which servers of tools are started.
pub(crate) const SERVERS: &str = "mcp-";

/// Removes a container with everything that runs in it. Ignored when it does not exist.
pub(super) async fn remove(docker: &Docker, id: &str) -> Result<(), SandboxError> {
    let forced = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match tokio::time::timeout(crate::limits::MACHINERY_TIMEOUT, docker.remove_container(id, Some(forced))).await {
        Ok(Ok(())) => Ok(()),
        // 409: it is already being removed.
        Ok(Err(error)) if matches!(status(&error), Some(404 | 409)) => Ok(()),
        Ok(Err(error)) => Err(failed("remove container", &error)),
        Err(_) => Err(SandboxError::Failed("cannot remove container: the daemon did not answer".to_owned())),
    }
}

/// See [`super::DockerSandbox::reap`].
pub(super) async fn reap(docker: &Docker, keep: impl Fn(&str) -> bool + Send) -> Result<Vec<String>, SandboxError> {
    let mut reaped = Vec::new();
    let mut worst = Ok(());
    for (id, labels) in list(docker, LABEL_RUN.to_owned()).await? {
        let Some(run_id) = labels.get(LABEL_RUN) else { continue };
        // Without a readable owner it is not ours, whatever its label says.
        let owner = labels.get(LABEL_OWNER).and_then(|owner| Owner::parse(owner));
        // NOTE: servers of tools that this process has just started are of no run.
        let serves = run_id.starts_with(SERVERS) && owner.as_ref() == Some(&Owner::this());
        if serves || keep(run_id) || !owner.is_some_and(|owner| owner.is_gone_or_this()) {
            continue;
        }
        match remove(docker, &id).await {
            Ok(()) => reaped.push(run_id.clone()),
            Err(error) => worst = Err(error),
        }
    }
    worst.map(|()| reaped)
}

pub(super) async fn list(
    docker: &Docker,
    label: String,
) -> Result<Vec<(String, HashMap<String, String>)>, SandboxError> {
    let filters = HashMap::from([("label".to_owned(), vec![label])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = within("list containers", docker.list_containers(Some(options))).await?;
    Ok(found.into_iter().filter_map(|one| Some((one.id?, one.labels.unwrap_or_default()))).collect())
}
