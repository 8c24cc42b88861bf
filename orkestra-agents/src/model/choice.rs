//! Which model a run uses: the one that the user chose, or the best that this machine has.
//!
//! The order without a choice: Qwen Plus if DashScope's key is set, the first provider with a key, a local Ollama that answers,
//! and else the demo model, which says that it is not an AI.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    demo::{DEMO_MODEL, DemoModel},
    genai::{Environment, GenaiModel, Limits, compatible_address, ollama_address},
    sight::sees,
    text_protocol::TextProtocol,
};
use crate::model::{Model, ModelError, Patience, Patient, Price, Priced};

/// The default models in their order: the variable of the provider's key, and the model.
const DEFAULTS: [(&str, &str); 9] = [
    ("DASHSCOPE_API_KEY", "qwen-plus"),
    ("OPENAI_API_KEY", "gpt-4o"),
    ("ANTHROPIC_API_KEY", "claude-sonnet-4-5"),
    ("GEMINI_API_KEY", "gemini-2.5-flash"),
    ("DEEPSEEK_API_KEY", "deepseek-chat"),
    ("MISTRAL_API_KEY", "mistral-large-latest"),
    ("GROQ_API_KEY", "groq::llama-3.3-70b-versatile"),
    ("XAI_API_KEY", "grok-4"),
    ("OPENROUTER_API_KEY", "open_router::qwen/qwen3-coder"),
];

/// The variables of other keys that genai reads.
const MORE_KEYS: [&str; 8] = [
    "GOOGLE_API_KEY",
    "COHERE_API_KEY",
    "ALIYUN_API_KEY",
    "TOGETHER_API_KEY",
    "FIREWORKS_API_KEY",
    "NEBIUS_API_KEY",
    "ZAI_API_KEY",
    "OPEN_ROUTER_API_KEY",
];

/// How long a local server may take to list its models.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// The assumed window of a model that does not state it. When it is smaller, the provider refuses a conversation that is too
/// long, and the agent condenses it.
const CONTEXT_TOKENS: u64 = 32_000;
/// The longest answer: enough for a large file, short enough to stop a model that does not end.
const MAX_TOKENS: u32 = 8_192;
/// The temperature for servers of the user's own: code needs the likely word.
const TEMPERATURE_OWN: f64 = 0.2;

/// A model by name, as stored with a run, so that a resumed run uses the same one. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// `gpt-4o`, `qwen-plus`, `groq::…`, `ollama::…`, `demo`.
    pub name: String,
    /// The OpenAI-compatible address that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The size of its window in tokens, as its server states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Its price, as known when the run was created: a budget in dollars must hold in any process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl ModelSpec {
    /// A model with a name and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), base_url: None, context_tokens: None, price: None }
    }

    /// Whether this is the demo model, a script without AI.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.name == DEMO_MODEL
    }
}

/// How a model learns about tools and calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolProtocol {
    /// With the provider's own protocol. A call that the model writes as text is recognised too.
    #[default]
    Native,
    /// As text, for models without native tool calls.
    Text,
}

/// The embedder's choice of a model, before it is known what this machine has.
#[derive(Clone)]
pub struct ModelChoice {
    name: Option<String>,
    base_url: Option<String>,
    api_key: Option<String>,
    fallbacks: Vec<String>,
    protocol: ToolProtocol,
    context_tokens: Option<u64>,
    max_tokens: u32,
    temperature: Option<f64>,
    demo_delay: Duration,
    patience: Patience,
    sees_images: Option<bool>,
    prices: BTreeMap<String, Price>,
    custom: Option<Arc<dyn Model>>,
}

impl Default for ModelChoice {
    fn default() -> Self {
        Self {
            name: None,
            base_url: None,
            api_key: None,
            fallbacks: Vec::new(),
            protocol: ToolProtocol::default(),
            context_tokens: None,
            max_tokens: MAX_TOKENS,
            temperature: None,
            demo_delay: Duration::from_millis(150),
            patience: Patience::default(),
            sees_images: None,
            prices: BTreeMap::new(),
            custom: None,
        }
    }
}

impl ModelChoice {
    /// The best model that this machine has: Qwen Plus if DashScope's key is set, the first provider with a key, a local
    /// Ollama that answers, or the demo model.
    #[must_use]
    pub fn automatic() -> Self {
        Self::default()
    }

    /// The model of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The demo model: a script, no AI.
    #[must_use]
    pub fn demo() -> Self {
        Self::named(DEMO_MODEL)
    }

    /// A model of your own; the name of a run's model is then only a label.
    #[must_use]
    pub fn custom(model: Arc<dyn Model>) -> Self {
        Self { name: Some(model.name().to_owned()), custom: Some(model), ..Self::default() }
    }

    /// Sets an OpenAI-compatible address, such as `http://127.0.0.1:8080/v1`. `OPENAI_BASE_URL` does the same.
    #[must_use]
    pub fn with_base_url(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = Some(base_url.into());
        self
    }

    /// Sets the key to use instead of the one in the environment.
    #[must_use]
    pub fn with_api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// Sets the models to try, in order, when the chosen one stays unavailable.
    #[must_use]
    pub fn with_fallbacks(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.fallbacks = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how the model calls tools.
    #[must_use]
    pub fn with_tool_protocol(mut self, protocol: ToolProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets the size of the model's window, in tokens.
    #[must_use]
    pub fn with_context_tokens(mut self, tokens: u64) -> Self {
        self.context_tokens = Some(tokens);
        self
    }

    /// Sets the longest answer, in tokens.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// Sets the temperature, 0 to 2. The default is the provider's own, and a low one for a server of the user's own, whose
    /// defaults are made for chatting.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sets how long the demo model takes per answer, so that users can watch it. Tests set zero.
    #[must_use]
    pub fn with_demo_delay(mut self, delay: Duration) -> Self {
        self.demo_delay = delay;
        self
    }

    /// Sets whether the model sees images. The default depends on its name: a model that is not known to see is sent none.
    #[must_use]
    pub fn with_images(mut self, sees_images: bool) -> Self {
        self.sees_images = Some(sees_images);
        self
    }

    /// Sets the price of the model `name`, whether it is the first choice, a run's own or a fallback. A custom model has the
    /// name that it gives itself. A run stores the price of its model; the prices of fallbacks are those of the process that
    /// drives it.
    #[must_use]
    pub fn with_price(mut self, name: impl Into<String>, price: Price) -> Self {
        self.prices.insert(name.into(), price);
        self
    }

    /// Sets how often and how long a failed call is tried again.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

/// Opens models: a choice, together with the environment that has keys and addresses.
#[derive(Clone)]
pub struct ModelSource {
    choice: ModelChoice,
    environment: Arc<Variables>,
}

/// The value of an environment variable.
type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

impl ModelSource {
    /// Reads keys and addresses from the environment of this process.
    #[must_use]
    pub fn new(choice: ModelChoice) -> Self {
        Self::with_environment(choice, |name| std::env::var(name).ok())
    }

    /// Reads keys and addresses from `environment` instead.
    pub fn with_environment(
        choice: ModelChoice,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { choice, environment: Arc::new(environment) }
    }

    /// The keys that this source can use, by the names of their variables.
    pub(crate) fn secrets(&self) -> Vec<(String, String)> {
        let given = self.choice.api_key.iter().map(|key| ("MODEL_API_KEY".to_owned(), key.clone()));
        let names = DEFAULTS.iter().map(|(name, _)| *name).chain(MORE_KEYS);
        let set = names.filter_map(|name| Some((name.to_owned(), (*self.environment)(name)?)));
        given.chain(set).collect()
    }

    /// The model of a run: `wanted` if the run names one, else the choice, else the best that this machine has. It may ask local
    /// servers for their models, and waits at most two seconds for each answer.
    pub async fn resolve(&self, wanted: Option<&str>) -> ModelSpec {
        let spec = self.find(wanted).await;
        ModelSpec { price: self.price(&spec), ..spec }
    }

    async fn find(&self, wanted: Option<&str>) -> ModelSpec {
        let environment: Environment<'_> = &*self.environment;
        let is_set = |name: &str| environment(name).is_some_and(|value| !value.trim().is_empty());
        let explicit = self.choice.base_url.clone();
        if let Some(name) = wanted.or(self.choice.name.as_deref()) {
            if name == DEMO_MODEL || self.choice.custom.is_some() {
                return ModelSpec::named(name);
            }
            return with_server(name, compatible_address(name, explicit.as_deref(), environment)).await;
        }
        let of_environment =
            environment("OPENAI_BASE_URL").filter(|url| !url.is_empty() && !is_set("DASHSCOPE_API_KEY"));
        if let Some(base_url) = explicit.or(of_environment)
            && let Some(name) = listed(&format!("{}/models", base_url.trim_end_matches('/')), "/data/0/id").await
        {
            return with_server(&name, Some(base_url)).await;
        }
        if let Some((_, name)) = DEFAULTS.iter().find(|(key, _)| is_set(key)) {
            return ModelSpec::named(*name);
        }
        if let Some(name) = listed(&format!("{}api/tags", ollama_address(environment)), "/models/0/name").await {
            return ModelSpec::named(format!("ollama::{name}"));
        }
        ModelSpec::named(DEMO_MODEL)
    }

    /// Opens the model of `spec`, with waiting, retries and fallbacks around it.
    ///
    /// # Errors
    /// [`ModelError::Authentication`] when its key is missing, [`ModelError::BadRequest`] when its name is unknown.
    pub fn open(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>, ModelError> {
        if let Some(model) = &self.choice.custom {
            return Ok(self.priced(Arc::clone(model), spec));
        }
        if spec.is_demo() {
            return Ok(self.priced(Arc::new(DemoModel::new(self.choice.demo_delay)), spec));
        }
        let first = self.open_one(spec)?;
        // NOTE: a fallback without a key is left out with a warning; it is not an error.
        let fallbacks = self.choice.fallbacks.iter().filter_map(|name| match self.open_one(&ModelSpec::named(name)) {
            Ok(model) => Some(model),
            Err(error) => {
                tracing::warn!(model = %name, %error, "cannot use a fallback model");
                None
            }
        });
        Ok(Arc::new(Patient::new(first, fallbacks.collect(), self.choice.patience)))
    }

    fn open_one(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>, ModelError> {
        let window = self.choice.context_tokens.or(spec.context_tokens).unwrap_or(CONTEXT_TOKENS);
        // NOTE: the conversation and the answer share the window.
        let max_tokens = self.choice.max_tokens.min(u32::try_from(window / 2).unwrap_or(u32::MAX));
        // NOTE: only servers of the user's own list their window; some providers refuse a temperature.
        let own = (spec.base_url.is_some() && spec.context_tokens.is_some()).then_some(TEMPERATURE_OWN);
        let sees_images = self.choice.sees_images.unwrap_or_else(|| sees(&spec.name));
        let temperature = self.choice.temperature.or(own);
        let limits = Limits { context_tokens: window, max_tokens, temperature, sees_images };
        let model = GenaiModel::new(spec, self.choice.api_key.as_deref(), limits, &*self.environment)?;
        Ok(self.priced(Arc::new(TextProtocol::new(Arc::new(model), self.choice.protocol)), spec))
    }

    /// The first model that may answer in a run with `spec` and whose calls have no known cost: they spend no dollars of the
    /// run's budget. `None` when the cost of every call is known.
    #[must_use]
    pub fn without_price<'a>(&'a self, spec: &'a ModelSpec) -> Option<&'a str> {
        if let Some(model) = &self.choice.custom {
            let is_known = model.reports_cost() || self.price(spec).is_some();
            return (!is_known).then(|| model.name());
        }
        if spec.is_demo() {
            // It is free.
            return None;
        }
        let fallbacks = self.choice.fallbacks.iter().map(String::as_str);
        let unknown = fallbacks.filter(|name| !self.choice.prices.contains_key(*name));
        self.price(spec).is_none().then_some(spec.name.as_str()).into_iter().chain(unknown).next()
    }

    /// The price that a run stores, or the one that this process knows.
    fn price(&self, spec: &ModelSpec) -> Option<Price> {
        let name = self.choice.custom.as_ref().map_or(spec.name.as_str(), |model| model.name());
        spec.price.or_else(|| self.choice.prices.get(name).copied())
    }

    fn priced(&self, model: Arc<dyn Model>, spec: &ModelSpec) -> Arc<dyn Model> {
        match self.price(spec) {
            Some(price) => Arc::new(Priced::new(model, price)),
            None => model,
        }
    }
}

/// The model `name` at an OpenAI-compatible address, with the window that its server states, as llama.cpp and vLLM name it. A
/// server that states none is not an error.
async fn with_server(name: &str, base_url: Option<String>) -> ModelSpec {
    let mut spec = ModelSpec { base_url, ..ModelSpec::named(name) };
    if let Some(base_url) = &spec.base_url
        && let Some(list) = ask(&format!("{}/models", base_url.trim_end_matches('/'))).await
    {
        let models = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let model = models.iter().find(|model| model["id"] == name).or(models.first());
        let windows = ["/meta/n_ctx", "/max_model_len", "/context_length"];
        spec.context_tokens = model.and_then(|model| windows.iter().find_map(|window| model.pointer(window)?.as_u64()));
    }
    spec
}

/// The text at `pointer` in the list of a server; `None` when it does not answer.
async fn listed(url: &str, pointer: &str) -> Option<String> {
    ask(url).await?.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

async fn ask(url: &str) -> Option<Value> {
    let client = reqwest::Client::builder().timeout(PROBE_MAX).build().ok()?;
    let answer = client.get(url).send().await.ok()?.error_for_status().ok()?;
    answer.json::<Value>().await.ok()
}

#[cfg(test)]
mod tests {
    use orkestra_core::model::Amount;

    use super::*;
    use crate::model::PendingModel;

    async fn check(choice: ModelChoice, wanted: Option<&str>, variables: &[(&'static str, &'static str)]) -> ModelSpec {
        let variables = variables.to_vec();
        let source = ModelSource::with_environment(choice, move |wanted| {
            // NOTE: a test must not find an Ollama that happens to run on its machine.
            if wanted == "OLLAMA_HOST" {
                return Some("127.0.0.1:9".to_owned());
            }
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        });
        source.resolve(wanted).await
    }

    #[tokio::test]
    async fn the_defaults_follow_the_documented_order() {
        let all = [("OPENAI_API_KEY", "k"), ("DASHSCOPE_API_KEY", "k"), ("GROQ_API_KEY", "k")];
        assert_eq!(check(ModelChoice::automatic(), None, &all).await.name, "qwen-plus");
        let two = [("GROQ_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")];
        assert_eq!(check(ModelChoice::automatic(), None, &two).await.name, "claude-sonnet-4-5");
        assert!(check(ModelChoice::automatic(), None, &[]).await.is_demo());
        assert!(check(ModelChoice::automatic(), None, &[("OPENAI_API_KEY", " ")]).await.is_demo());
    }

    #[tokio::test]
    async fn a_choice_wins_over_the_environment() {
        let key = [("DASHSCOPE_API_KEY", "k")];
        assert_eq!(check(ModelChoice::named("gpt-4o"), None, &key).await.name, "gpt-4o");
        assert_eq!(check(ModelChoice::named("gpt-4o"), Some("demo"), &key).await.name, "demo");
        let local = ModelChoice::automatic().with_base_url("http://127.0.0.1:1/v1");
        let spec = check(local, Some("mine"), &key).await;
        assert_eq!((spec.name.as_str(), spec.base_url.as_deref()), ("mine", Some("http://127.0.0.1:1/v1")));
    }

    #[tokio::test]
    async fn the_price_is_that_of_the_model_that_answers() {
        let price = Price::new(Amount::whole(1), Amount::whole(2));
        let custom = || ModelChoice::custom(Arc::new(PendingModel));
        for (choice, wanted, is_priced) in [
            (ModelChoice::named("gpt-4o").with_price("gpt-4o", price), None, true),
            (ModelChoice::named("gpt-4o").with_price("gpt-4o", price), Some("grok-4"), false),
            (ModelChoice::named("gpt-4o").with_price("grok-4", price), Some("grok-4"), true),
            (ModelChoice::demo().with_price("demo", price), None, true),
            (custom().with_price("pending", price), None, true),
            (custom().with_price("pending", price), Some("a label"), true),
            (custom().with_price("pending", price), Some("demo"), true),
            (custom().with_price("a label", price), Some("a label"), false),
        ] {
            let spec = check(choice, wanted, &[]).await;
            assert_eq!(spec.price, is_priced.then_some(price), "{spec:?}");
        }
    }

    #[test]
    fn a_model_whose_calls_have_no_known_cost_is_named() {
        let price = Price::new(Amount::whole(1), Amount::whole(2));
        let spec = |price| ModelSpec { price, ..ModelSpec::named("gpt-4o") };
        let with_fallback = || ModelChoice::automatic().with_fallbacks(["grok-4"]);
        let custom = |model: Arc<dyn Model>| ModelChoice::custom(model);
        for (choice, spec, expected) in [
            (ModelChoice::automatic(), spec(None), Some("gpt-4o")),
            (ModelChoice::automatic(), spec(Some(price)), None),
            (ModelChoice::automatic().with_price("gpt-4o", price), spec(None), None),
            (with_fallback(), spec(Some(price)), Some("grok-4")),
            (with_fallback().with_price("grok-4", price), spec(Some(price)), None),
            (ModelChoice::automatic(), ModelSpec::named("demo"), None),
            (custom(Arc::new(PendingModel)), spec(None), Some("pending")),
            (custom(Arc::new(PendingModel)), spec(Some(price)), None),
            (custom(Arc::new(Priced::new(Arc::new(PendingModel), price))), spec(None), None),
        ] {
            let source = ModelSource::with_environment(choice, |_| None);
            assert_eq!(source.without_price(&spec), expected, "{spec:?}");
        }
    }

    #[test]
    fn a_run_of_an_older_version_has_no_price() {
        let old: ModelSpec = serde_json::from_value(serde_json::json!({"name": "gpt-4o"})).expect("it can be read");
        assert_eq!(old, ModelSpec::named("gpt-4o"));
        let priced = ModelSpec { price: Some(Price::new(Amount::micros(1), Amount::whole(2))), ..old };
        let json = serde_json::json!({"name": "gpt-4o", "price": {"input": 1, "output": 2_000_000}});
        assert_eq!(serde_json::to_value(&priced).expect("JSON"), json);
        assert_eq!(serde_json::from_value::<ModelSpec>(json).expect("it reads back"), priced);
    }
}
