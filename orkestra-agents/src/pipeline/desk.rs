//! The tools of a run: what is built in, and for a real model the web and a person, as far as the run may reach them.
//!
//! ```text
//! demo model           built-in tools
//! network none         and the browser, for the servers that the agent itself starts
//! network registries   and web_search; pages of the registries' hosts and of those that were allowed
//! network open         and web_search; pages of every public host
//! ```

use std::sync::Arc;

use orkestra_core::prelude::{TaskError, TaskResult};
use orkestra_tools::egress::{AllowedHost, EgressOptions};
use orkestra_tools::web::{AddressPolicy, DuckDuckGo, Fetch, Guard, GuardedClient, SearchEngine, WebSearch, WebTools};
use orkestra_tools::{Github, Network, ToolSet};
use reqwest::Url;

use super::Job;
use crate::{Error, ErrorKind, ask_human};

/// What the embedder adds to the tools.
#[derive(Clone, Default)]
pub(super) struct Kit {
    /// Whether somebody answers questions.
    pub(super) has_answers: bool,
    /// Where `github_create_pr` opens pull requests.
    pub(super) github: Option<Github>,
    /// Search engines after DuckDuckGo.
    pub(super) engines: Vec<Arc<dyn SearchEngine>>,
    #[cfg(all(unix, feature = "chromium"))]
    pub(super) chromium: Option<orkestra_tools::web::ChromiumOptions>,
}

/// Gives each run its tools. Clones share the search and its cache.
#[derive(Clone)]
pub(super) struct Desk {
    kit: Kit,
    search: WebSearch,
    /// The hosts that the operator lets every run reach: the registries, and those of the configuration.
    hosts: Arc<[AllowedHost]>,
}

impl Desk {
    /// # Errors
    /// [`ErrorKind::Engine`] when no HTTP client can be made.
    pub(super) fn new(kit: Kit, egress: &EgressOptions) -> Result<Self, Error> {
        let client = GuardedClient::new(AddressPolicy::global());
        let client: Arc<dyn Fetch> =
            Arc::new(client.map_err(|error| Error::new(ErrorKind::Engine, error.to_string()))?);
        let mut engines: Vec<Arc<dyn SearchEngine>> =
            vec![Arc::new(DuckDuckGo::html(Arc::clone(&client))), Arc::new(DuckDuckGo::lite(client))];
        engines.extend(kit.engines.iter().cloned());
        let registries = egress.registries.iter().filter_map(|registry| host_of(registry.url()));
        let hosts = registries.chain(egress.allowed.iter().cloned()).collect();
        Ok(Self { kit, search: WebSearch::new(engines), hosts })
    }

    /// The tools of a run.
    pub(super) fn tools(&self, job: &Job) -> TaskResult<ToolSet> {
        let mut tools = ToolSet::builtin();
        if job.model.is_demo() {
            return Ok(tools);
        }
        if let Some(github) = &self.kit.github {
            tools = tools.with_github(github);
        }
        if self.kit.has_answers {
            tools = tools.with(ask_human());
        }
        match self.policy(job) {
            Some(policy) => Ok(tools.with_web(&self.web(policy)?)),
            // The browser reaches the servers that the agent itself starts.
            None => {
                let nowhere = AddressPolicy::global().with_hosts_only([]);
                let tools = tools.with_web(&self.web(nowhere)?);
                let kept: Vec<&str> =
                    tools.iter().map(|tool| tool.name()).filter(|name| *name != "web_search").collect();
                tools.select(&kept).map_err(|error| TaskError::permanent(error.to_string()))
            }
        }
    }

    /// Which pages a run may open besides those of its own servers; `None` when it has no network.
    fn policy(&self, job: &Job) -> Option<AddressPolicy> {
        match job.sandbox.network_used() {
            Network::Registries => {
                let of_run = job.sandbox.allowed_hosts.iter().filter_map(|host| AllowedHost::new(host).ok());
                Some(AddressPolicy::global().with_hosts_only(self.hosts.iter().cloned().chain(of_run)))
            }
            Network::Open => Some(AddressPolicy::global()),
            _ => None,
        }
    }

    fn web(&self, policy: AddressPolicy) -> TaskResult<WebTools> {
        let guard = Guard::new(policy);
        let client = GuardedClient::with_guard(guard.clone()).map_err(|error| TaskError::new(error.to_string()))?;
        let web = WebTools::new(client).with_search(self.search.clone());
        Ok(self.with_browser(web, guard))
    }

    #[cfg(all(unix, feature = "chromium"))]
    fn with_browser(&self, web: WebTools, guard: Guard) -> WebTools {
        match &self.kit.chromium {
            Some(options) => web.with_browser(Arc::new(orkestra_tools::web::Chromium::new(guard, options.clone()))),
            None => web,
        }
    }

    #[cfg(not(all(unix, feature = "chromium")))]
    #[expect(clippy::unused_self, reason = "the kit has no browser")]
    fn with_browser(&self, web: WebTools, _guard: Guard) -> WebTools {
        web
    }
}

/// Every tool that agents of the pipeline can have, for references of them: a run has those that its model, its network and its
/// embedder allow.
///
/// ```
/// let tools = orkestra_agents::every_tool()?;
/// assert!(tools.get("browser_navigate").is_some() && tools.get("ask_human").is_some());
/// # Ok::<(), orkestra_agents::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Engine`] when no HTTP client can be made.
pub fn every_tool() -> Result<ToolSet, Error> {
    let client = GuardedClient::new(AddressPolicy::global());
    let client = client.map_err(|error| Error::new(ErrorKind::Engine, error.to_string()))?;
    Ok(ToolSet::builtin().with_web(&WebTools::new(client)).with(ask_human()))
}

/// The host of a registry; `None` for one that has only an address.
fn host_of(address: &str) -> Option<AllowedHost> {
    let url = Url::parse(address).ok()?;
    AllowedHost::new(&format!("{}:{}", url.host_str()?, url.port_or_known_default()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::ModelSpec, workplace::SandboxKind, workplace::SandboxSpec};

    fn job(model: &str, network: Network, hosts: &[&str]) -> Job {
        let sandbox = SandboxSpec::from(SandboxKind::Docker).with_network(network);
        Job {
            objective: "Build it".to_owned(),
            project_id: None,
            model: ModelSpec::named(model),
            sandbox: sandbox.with_allowed_hosts(hosts.iter().copied()),
            tasks: Vec::new(),
        }
    }

    #[test]
    fn the_web_and_a_person_are_for_real_models_that_may_reach_them() {
        let desk = |has_answers| {
            let kit = Kit { has_answers, ..Kit::default() };
            Desk::new(kit, &EgressOptions::default()).expect("a client")
        };
        for (model, network, has_answers, browser, search, person) in [
            ("demo", Network::Open, true, false, false, false),
            ("gpt-4o", Network::None, true, true, false, true),
            ("gpt-4o", Network::None, false, true, false, false),
            ("gpt-4o", Network::Registries, false, true, true, false),
            ("gpt-4o", Network::Open, true, true, true, true),
        ] {
            let tools = desk(has_answers).tools(&job(model, network, &[])).expect("tools");
            let has = |name| tools.get(name).is_some();
            for name in ["browser_navigate", "browser_get_content", "browser_click", "browser_screenshot"] {
                assert_eq!(has(name), browser, "{name}: {model} {network:?}");
            }
            assert_eq!(has("web_search"), search, "{model} {network:?}");
            assert_eq!(has("ask_human"), person, "{model} {network:?}");
            assert!(has("run_command") && has("start_process"));
        }
    }

    #[test]
    fn pages_follow_the_network_of_the_run() {
        let desk = Desk::new(Kit::default(), &EgressOptions::default()).expect("a client");
        let address = "93.184.216.34".parse().expect("an address");
        for (network, hosts, host, expected) in [
            (Network::Registries, &[][..], "pypi.org", true),
            (Network::Registries, &[], "a.example", false),
            (Network::Registries, &["a.example"], "a.example", true),
            (Network::Open, &[], "a.example", true),
        ] {
            let policy = desk.policy(&job("gpt-4o", network, hosts)).expect("it has a network");
            assert_eq!(policy.check(host, 443, address).is_ok(), expected, "{network:?} {host}");
        }
        assert!(desk.policy(&job("gpt-4o", Network::None, &[])).is_none());
    }
}
