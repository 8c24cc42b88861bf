//! From the tree to the workflow: a serde deserializer that records where a value did not fit.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Number;

use crate::model::workflow::WorkflowSpec;

use super::error::{Mistake, Step};
use super::located::{Key, Located, Shape};

pub(super) fn workflow(tree: &Located<'_>) -> Result<WorkflowSpec, Mistake> {
    WorkflowSpec::deserialize(tree)
}

impl<'t> Located<'t> {
    fn unexpected<'a>(&'a self) -> Unexpected<'a> {
        match &self.shape {
            Shape::Null => Unexpected::Unit,
            Shape::Bool(value) => Unexpected::Bool(*value),
            Shape::Number(_) => Unexpected::Other("a number"),
            Shape::Text(text) => Unexpected::Str(text),
            Shape::List(_) => Unexpected::Seq,
            Shape::Object(_) => Unexpected::Map,
        }
    }

    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.shape {
            Shape::Null => visitor.visit_unit(),
            Shape::Bool(value) => visitor.visit_bool(*value),
            Shape::Number(number) => {
                let number: Number = number.parse().map_err(|_| Mistake::custom("the number is out of range"))?;
                number.deserialize_any(visitor).map_err(|error: serde_json::Error| Mistake::custom(error))
            }
            Shape::Text(text) => visitor.visit_str(text),
            Shape::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Shape::Object(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }
}

impl<'de> Deserializer<'de> for &Located<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.visit(visitor).map_err(|mistake| mistake.or_at(self.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.shape {
            Shape::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// Derived code would accept a list with the fields in order of declaration. That order is not part of the format.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.shape {
            Shape::Object(_) => self.deserialize_any(visitor),
            _ => Err(Mistake::invalid_type(self.unexpected(), &visitor).or_at(self.at)),
        }
    }

    /// Payloads are newtypes: serde_json keeps their raw text through a mechanism of its own.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        let json = self.to_json();
        let mut inner = serde_json::Deserializer::from_reader(json.as_bytes());
        inner.deserialize_newtype_struct(name, visitor).map_err(|error| Mistake::custom(error).or_at(self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let variant = match &self.shape {
            Shape::Text(text) => Variant { at: self.at, name: text, content: None },
            Shape::Object(entries) if entries.len() == 1 => {
                let (key, content) = &entries[0];
                Variant { at: key.at, name: &key.text, content: Some(content) }
            }
            _ => {
                let what = "expected a word or an object with one entry";
                return Err(Mistake::custom(what).or_at(self.at));
            }
        };
        visitor.visit_enum(variant).map_err(|mistake| mistake.or_at(self.at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// The items of a list.
struct Items<'a, 't> {
    items: &'a [Located<'t>],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let place = self.next;
        self.next += 1;
        let value = seed.deserialize(item);
        value.map(Some).map_err(|mistake| mistake.or_at(item.at).within(Step::Item(place)))
    }
}

/// The entries of an object.
struct Entries<'a, 't> {
    entries: &'a [(Key<'t>, Located<'t>)],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        // A linear search is enough: there are few fields, and an unknown one ends the reading.
        if self.entries[..self.next].iter().any(|(before, _)| before.text == key.text) {
            return Err(Mistake::custom(format!("duplicate field `{}`", key.text)).or_at(key.at));
        }
        let text: StrDeserializer<'_, Mistake> = (&*key.text).into_deserializer();
        seed.deserialize(text).map(Some).map_err(|mistake| mistake.or_at(key.at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let (key, value) = self.entries.get(self.next).ok_or_else(|| Mistake::custom("a value needs a key"))?;
        self.next += 1;
        let result = seed.deserialize(value);
        result.map_err(|mistake| mistake.or_at(value.at).within(Step::Key(key.text.to_string())))
    }
}

/// An enum variant: a word, or an object with one entry.
struct Variant<'a, 't> {
    at: usize,
    name: &'a str,
    content: Option<&'a Located<'t>>,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Mistake> {
        let name: StrDeserializer<'_, Mistake> = self.name.into_deserializer();
        let value = seed.deserialize(name).map_err(|mistake| mistake.or_at(self.at))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.content {
            None => Ok(()),
            Some(content) => Err(Mistake::custom(format!("`{}` takes no value", self.name)).or_at(content.at)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        let name = self.name;
        let Some(content) = self.content else {
            return Err(Mistake::custom(format!("`{name}` needs a value: {{\"{name}\": …}}")).or_at(self.at));
        };
        let value = seed.deserialize(content);
        value.map_err(|mistake| mistake.or_at(content.at).within(Step::Key(name.to_owned())))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.content
            .map_or_else(|| Err(Mistake::custom("a list is missing")), |content| content.deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.content
            .map_or_else(|| Err(Mistake::custom("an object is missing")), |content| content.deserialize_any(visitor))
    }
}
