//! Finds the provider of a model by its name: protocol, address, key.
//!
//! genai knows most names by their prefix. Added here: Qwen's names belong to DashScope, Mistral's to Mistral, and with an
//! OpenAI-compatible address any name goes there.

use genai::{
    ModelIden,
    adapter::AdapterKind,
    resolver::{AuthData, Endpoint, ProviderConfig},
};

use crate::model::{ModelError, ModelSpec};

/// The source of settings: the environment of the process, or a table in tests.
pub(in crate::model) type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

const QWEN_NAMES: [&str; 3] = ["qwen", "qwq-", "qvq-"];
const MISTRAL_NAMES: [&str; 6] = ["mistral", "ministral", "codestral", "devstral", "magistral", "open-mi"];

/// The protocol of the model `name` without an explicit address.
fn adapter_of(name: &str) -> Result<AdapterKind, ModelError> {
    if name.contains("::") {
        return AdapterKind::from_model(name).map_err(|error| ModelError::BadRequest(error.to_string()));
    }
    // NOTE: a name with a tag, such as qwen3:8b, belongs to Ollama.
    if !name.contains(':') {
        if QWEN_NAMES.iter().any(|start| name.starts_with(start)) {
            return Ok(AdapterKind::Aliyun);
        }
        if MISTRAL_NAMES.iter().any(|start| name.starts_with(start)) {
            return Ok(AdapterKind::Mistral);
        }
    }
    AdapterKind::from_model(name).map_err(|error| ModelError::BadRequest(error.to_string()))
}

/// The environment variables for the key of a provider; the first one that is set is used.
fn key_names(adapter: AdapterKind) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = adapter.default_key_env_name().into_iter().collect();
    match adapter {
        AdapterKind::Aliyun => names.insert(0, "DASHSCOPE_API_KEY"),
        AdapterKind::Gemini => names.push("GOOGLE_API_KEY"),
        _ => {}
    }
    names
}

fn environment_key(adapter: AdapterKind, environment: Environment<'_>) -> Option<String> {
    key_names(adapter).into_iter().find_map(|name| environment(name).filter(|value| !value.trim().is_empty()))
}

/// Everything that genai needs to reach a model.
pub(super) struct Target {
    pub(super) model: ModelIden,
    /// The address; `None` is the provider's own.
    endpoint: Option<Endpoint>,
    auth: AuthData,
}

impl Target {
    pub(super) fn provider(&self) -> ProviderConfig {
        match &self.endpoint {
            Some(endpoint) => (endpoint.clone(), self.auth.clone()).into(),
            None => self.auth.clone().into(),
        }
    }
}

/// Finds the provider of `spec`.
pub(super) fn target(
    spec: &ModelSpec,
    api_key: Option<&str>,
    environment: Environment<'_>,
) -> Result<Target, ModelError> {
    let own = adapter_of(&spec.name)?;
    let key = |adapter| api_key.map(str::to_owned).or_else(|| environment_key(adapter, environment));
    if let Some(base_url) = compatible_address(&spec.name, spec.base_url.as_deref(), environment) {
        // NOTE: servers of the user's own mostly need no key, but the protocol needs a header.
        let auth = AuthData::from_single(key(AdapterKind::OpenAI).unwrap_or_else(|| "none".to_owned()));
        let name = spec.name.strip_prefix("openai::").unwrap_or(&spec.name);
        let model = ModelIden::new(AdapterKind::OpenAI, name.to_owned());
        return Ok(Target { endpoint: Some(Endpoint::from_owned(with_slash(&base_url))), auth, model });
    }
    let endpoint = match own {
        AdapterKind::Aliyun => environment("DASHSCOPE_BASE_URL").map(|url| Endpoint::from_owned(with_slash(&url))),
        AdapterKind::Ollama => Some(Endpoint::from_owned(ollama_address(environment))),
        _ => None,
    };
    let auth = if own == AdapterKind::Ollama {
        AuthData::from_single("ollama")
    } else {
        let key = key(own).ok_or_else(|| {
            let names = key_names(own).join(" or ");
            ModelError::Authentication(format!("cannot use the model {:?} without a key; set {names}", spec.name))
        })?;
        AuthData::from_single(key)
    };
    Ok(Target { endpoint, auth, model: ModelIden::new(own, spec.name.clone()) })
}

/// The OpenAI-compatible address for the model `name`: an explicit one always, the one of the environment unless the name
/// belongs to another provider whose key is set.
pub(in crate::model) fn compatible_address(
    name: &str,
    explicit: Option<&str>,
    environment: Environment<'_>,
) -> Option<String> {
    if let Some(base_url) = explicit {
        return Some(base_url.to_owned());
    }
    let base_url = environment("OPENAI_BASE_URL").filter(|url| !url.trim().is_empty())?;
    let own = adapter_of(name).ok()?;
    if matches!(own, AdapterKind::OpenAI | AdapterKind::OpenAIResp) {
        return Some(base_url);
    }
    let elsewhere = name.contains("::") || environment_key(own, environment).is_some();
    (!elsewhere).then_some(base_url)
}

/// The address of Ollama; `OLLAMA_HOST` may lack the scheme.
pub(in crate::model) fn ollama_address(environment: Environment<'_>) -> String {
    let host = environment("OLLAMA_HOST").filter(|host| !host.trim().is_empty());
    let host = host.unwrap_or_else(|| "http://localhost:11434".to_owned());
    let host = if host.contains("://") { host } else { format!("http://{host}") };
    with_slash(&host)
}

/// An address that paths can be appended to.
fn with_slash(url: &str) -> String {
    format!("{}/", url.trim().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, base_url: Option<&str>, variables: &[(&str, &str)]) -> Result<(AdapterKind, String), String> {
        let environment =
            |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
        let spec = ModelSpec { base_url: base_url.map(str::to_owned), ..ModelSpec::named(name) };
        let target = target(&spec, None, &environment).map_err(|error| error.to_string())?;
        let address = target.endpoint.map_or_else(String::new, |endpoint| endpoint.base_url().to_owned());
        Ok((target.model.adapter_kind, address))
    }

    #[test]
    fn a_name_leads_to_its_provider() {
        let keys = [
            ("DASHSCOPE_API_KEY", "k"),
            ("OPENAI_API_KEY", "k"),
            ("ANTHROPIC_API_KEY", "k"),
            ("GEMINI_API_KEY", "k"),
            ("GROQ_API_KEY", "k"),
            ("MISTRAL_API_KEY", "k"),
            ("DEEPSEEK_API_KEY", "k"),
        ];
        for (name, expected) in [
            ("qwen-plus", AdapterKind::Aliyun),
            ("gpt-4o", AdapterKind::OpenAI),
            ("claude-sonnet-4-5", AdapterKind::Anthropic),
            ("gemini-2.5-flash", AdapterKind::Gemini),
            ("groq::llama-3.3-70b-versatile", AdapterKind::Groq),
            ("mistral-large-latest", AdapterKind::Mistral),
            ("deepseek-chat", AdapterKind::DeepSeek),
            ("ollama::qwen3", AdapterKind::Ollama),
            ("qwen3:8b", AdapterKind::Ollama),
        ] {
            assert_eq!(check(name, None, &keys).map(|found| found.0), Ok(expected), "{name}");
        }
    }

    #[test]
    fn an_explicit_address_always_wins() {
        let found = check("claude-anything", Some("http://127.0.0.1:18084/v1"), &[("ANTHROPIC_API_KEY", "k")]);
        assert_eq!(found, Ok((AdapterKind::OpenAI, "http://127.0.0.1:18084/v1/".to_owned())));
    }

    #[test]
    fn the_address_of_the_environment_serves_names_without_another_provider() {
        let base = ("OPENAI_BASE_URL", "http://127.0.0.1:18084/v1");
        for name in ["gpt-4o", "qwen2.5-coder-1.5b", "something-new"] {
            assert_eq!(check(name, None, &[base]).map(|found| found.0), Ok(AdapterKind::OpenAI), "{name}");
        }
        let found = check("qwen-plus", None, &[base, ("DASHSCOPE_API_KEY", "k")]);
        assert_eq!(found.map(|found| found.0), Ok(AdapterKind::Aliyun));
        let found = check("ollama::qwen3", None, &[base, ("OLLAMA_HOST", "10.0.0.1:11434")]);
        assert_eq!(found, Ok((AdapterKind::Ollama, "http://10.0.0.1:11434/".to_owned())));
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = check("qwen-plus", None, &[]).expect_err("there is no key");
        assert!(error.contains("DASHSCOPE_API_KEY"), "{error}");
    }
}
