//! The results of recent queries. Pure: the time is an argument.

use std::collections::HashMap;

use tokio::time::Instant;

use super::Found;
use crate::limits::{SEARCH_CACHE_ENTRIES_MAX, SEARCH_CACHE_TIME};

#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<String, (Instant, Found)>,
}

impl Cache {
    pub(super) fn get(&self, query: &str, now: Instant) -> Option<Found> {
        let (stored, found) = self.entries.get(query)?;
        (now.saturating_duration_since(*stored) < SEARCH_CACHE_TIME).then(|| found.clone())
    }

    pub(super) fn put(&mut self, query: String, found: Found, now: Instant) {
        self.entries.retain(|_, (stored, _)| now.saturating_duration_since(*stored) < SEARCH_CACHE_TIME);
        if self.entries.len() >= SEARCH_CACHE_ENTRIES_MAX && !self.entries.contains_key(&query) {
            let oldest = self.entries.iter().min_by_key(|(_, (stored, _))| *stored).map(|(query, _)| query.clone());
            oldest.and_then(|oldest| self.entries.remove(&oldest));
        }
        self.entries.insert(query, (now, found));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Cache, Found, SEARCH_CACHE_ENTRIES_MAX, SEARCH_CACHE_TIME};

    #[test]
    fn entries_expire_and_the_oldest_gives_way() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        let found = |engine: &str| Found { engine: engine.to_owned(), results: Vec::new() };
        cache.put("a".to_owned(), found("1"), start);
        assert_eq!(cache.get("a", start), Some(found("1")));
        assert_eq!(cache.get("b", start), None);
        assert_eq!(cache.get("a", start + SEARCH_CACHE_TIME), None);
        let later = start + Duration::from_secs(1);
        for n in 0..SEARCH_CACHE_ENTRIES_MAX - 1 {
            cache.put(n.to_string(), found("2"), later);
        }
        assert!(cache.get("a", later).is_some());
        cache.put("0".to_owned(), found("3"), later);
        assert!(cache.get("a", later).is_some(), "an entry that is replaced needs no place");
        cache.put("more".to_owned(), found("4"), later);
        assert_eq!((cache.get("a", later), cache.entries.len()), (None, SEARCH_CACHE_ENTRIES_MAX));
    }
}
