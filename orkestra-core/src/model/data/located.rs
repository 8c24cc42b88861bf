//! A parsed document: a tree in which every value knows its position in the text.

use std::borrow::Cow;

/// A value and the byte at which it begins in the text.
#[derive(Clone, Debug)]
pub(super) struct Located<'t> {
    pub(super) at: usize,
    pub(super) shape: Shape<'t>,
    /// The JSON source of the value, if the document was JSON.
    pub(super) json: Option<&'t str>,
}

#[derive(Clone, Debug)]
pub(super) enum Shape<'t> {
    Null,
    Bool(bool),
    /// In JSON notation.
    Number(Cow<'t, str>),
    Text(Cow<'t, str>),
    List(Vec<Located<'t>>),
    Object(Vec<(Key<'t>, Located<'t>)>),
}

/// The key of an object's entry, and the byte at which it begins.
#[derive(Clone, Debug)]
pub(super) struct Key<'t> {
    pub(super) at: usize,
    pub(super) text: Cow<'t, str>,
}

impl<'t> Located<'t> {
    /// The value under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Shape::Object(entries) = &self.shape else { return None };
        entries.iter().find(|(own, _)| own.text == key).map(|(_, value)| value)
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.shape {
            Shape::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON: its source, or written without spaces.
    pub(super) fn to_json(&self) -> Cow<'t, str> {
        if let Some(json) = self.json {
            return Cow::Borrowed(json);
        }
        let mut json = String::new();
        self.write_json(&mut json);
        Cow::Owned(json)
    }

    fn write_json(&self, json: &mut String) {
        match &self.shape {
            Shape::Null => json.push_str("null"),
            Shape::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
            Shape::Number(number) => json.push_str(number),
            Shape::Text(text) => write_text(text, json),
            Shape::List(items) => {
                json.push('[');
                for (place, item) in items.iter().enumerate() {
                    json.push_str(if place == 0 { "" } else { "," });
                    item.write_json(json);
                }
                json.push(']');
            }
            Shape::Object(entries) => {
                json.push('{');
                for (place, (key, value)) in entries.iter().enumerate() {
                    json.push_str(if place == 0 { "" } else { "," });
                    write_text(&key.text, json);
                    json.push(':');
                    value.write_json(json);
                }
                json.push('}');
            }
        }
    }
}

fn write_text(text: &str, json: &mut String) {
    json.push_str(&serde_json::to_string(text).expect("strings serialise"));
}
