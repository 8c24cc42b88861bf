//! What the environment says about GitHub.

use orkestra_agents::OrkestraBuilder;
use orkestra_tools::Github;
use orkestra_tools::web::{AddressPolicy, GuardedClient};

use crate::exit::Failure;

/// The token by which pull requests are opened.
pub(crate) const TOKEN: &str = "GITHUB_TOKEN";
/// The address of the API, as GitHub Actions sets it; a GitHub Enterprise server has its own.
const API: &str = "GITHUB_API_URL";

/// Lets agents open pull requests when the environment has a token.
///
/// # Errors
/// When a variable has a value that cannot be used.
pub(crate) fn with_environment(builder: OrkestraBuilder) -> Result<OrkestraBuilder, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let Some(token) = variable(TOKEN) else { return Ok(builder) };
    let api = variable(API);
    // The operator's own server may have a private address.
    let host = api.as_deref().and_then(|api| api.split("://").nth(1)?.split([':', '/']).next());
    let policy = host.into_iter().fold(AddressPolicy::global(), AddressPolicy::with_private_host);
    let client = GuardedClient::new(policy).map_err(|error| Failure::failed(error.to_string()))?;
    let invalid = |name: &str, error: &dyn std::fmt::Display| Failure::usage(format!("invalid {name}: {error}"));
    let mut github = Github::new(client, &token).map_err(|error| invalid(TOKEN, &error))?;
    if let Some(api) = api {
        github = github.with_api_base(&api).map_err(|error| invalid(API, &error))?;
    }
    Ok(builder.github(github))
}
