//! The operator's MCP servers: a file that is named on the command line, never one that is found.

use std::path::Path;
use std::sync::Arc;

use orkestra_agents::SandboxChoice;
use orkestra_tools::egress::EgressOptions;
use orkestra_tools::mcp::{McpConfig, McpOptions, McpSandboxes, McpTools, McpTransport};
use orkestra_tools::{DockerOptions, DockerSandbox, LocalOptions};

use crate::exit::Failure;

/// Largest file of servers, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Starts the servers of `file`. Their directories are below `data`; values of secrets come from this process's environment.
///
/// # Errors
/// A usage error for the file and what it names; a failure when a server does not start.
pub(crate) async fn connect(
    file: &Path,
    data: &Path,
    sandbox: SandboxChoice,
    runtime: Option<String>,
    egress: EgressOptions,
) -> Result<McpTools, Failure> {
    let config = read(file, data)?;
    let is_command = |transport: &McpTransport| matches!(transport, McpTransport::Stdio(_));
    let directory = data.join("mcp");
    let sandboxes = if sandbox == SandboxChoice::Local {
        McpSandboxes::local(directory, LocalOptions::default())
    } else {
        if config.servers.iter().any(|server| is_command(&server.transport)) {
            DockerSandbox::available().await.map_err(|error| {
                Failure::failed(format!(
                    "cannot start MCP servers in Docker: {error}; or use --sandbox local, which isolates less"
                ))
            })?;
        }
        let options = DockerOptions::default().with_egress(egress);
        McpSandboxes::docker(directory, runtime.into_iter().fold(options, DockerOptions::with_runtime))
    };
    let mut options = McpOptions::new(Arc::new(sandboxes));
    for name in config.secret_names() {
        let value = std::env::var(&name).map_err(|_| {
            Failure::usage(format!(
                "{} names the secret {name}, which is not set in the environment; set it",
                file.display()
            ))
        })?;
        options = options.with_secret(name, value);
    }
    let tools = McpTools::connect(config, options).await.map_err(|error| Failure::failed(error.to_string()))?;
    for warning in tools.warnings() {
        eprintln!("warning: {warning}");
    }
    Ok(tools)
}

fn read(file: &Path, data: &Path) -> Result<McpConfig, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!(
            "cannot read the MCP servers in {}: {error}; give another file with --mcp",
            file.display()
        ))
    };
    let real = file.canonicalize().map_err(unreadable)?;
    // What agents write must not decide what is started.
    if data.join("workspace").canonicalize().is_ok_and(|workspaces| real.starts_with(workspaces)) {
        let message = "it is in a workspace, where agents write; copy it to another place after reading it";
        return Err(Failure::usage(format!("cannot use the MCP servers in {}: {message}", file.display())));
    }
    if real.metadata().map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{} is larger than 1 MiB; give a file with MCP servers", file.display())));
    }
    let text = std::fs::read_to_string(&real).map_err(unreadable)?;
    McpConfig::from_toml(&text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}
