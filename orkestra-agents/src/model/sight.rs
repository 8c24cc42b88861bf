//! Which models see images. A model that is not known is sent none: most servers refuse a request with an image that they cannot
//! use.

/// Beginnings of the names of models that see images, as their providers document them.
const SEEING: [&str; 18] = [
    "gpt-4o",
    "gpt-4.1",
    "gpt-5",
    "o3",
    "o4",
    "chatgpt-4o",
    "claude-",
    "gemini-",
    "gemma-3",
    "gemma3",
    "qwen-vl",
    "qwen2-vl",
    "qwen2.5-vl",
    "qwen3-vl",
    "pixtral",
    "llava",
    "llama-4",
    "grok-4",
];

/// Whether the model `name` sees images, with or without the name of its provider in front.
pub(super) fn sees(name: &str) -> bool {
    let name = name.to_lowercase();
    let bare = name.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or_default();
    // NOTE: Ollama's tags come last, as in `ollama::llava:7b`.
    let parts = [bare, name.rsplit("::").next().unwrap_or_default()];
    parts.iter().any(|part| SEEING.iter().any(|known| part.starts_with(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_see_are_known_by_their_names() {
        for (name, expected) in [
            ("gpt-4o", true),
            ("GPT-4o-mini", true),
            ("claude-sonnet-4-5", true),
            ("open_router::google/gemini-2.5-pro", true),
            ("ollama::llava:7b", true),
            ("qwen-plus", false),
            ("gpt-3.5-turbo", false),
            ("deepseek-chat", false),
            ("my-claude-clone", false),
            ("", false),
        ] {
            assert_eq!(sees(name), expected, "{name}");
        }
    }
}
