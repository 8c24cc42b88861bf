//! The subject of a demo project: a noun of the objective, and the fields of such a thing.

/// The kind of things that a demo project stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// The project's name, such as `Blog`.
    pub(super) project: String,
    /// The plural, as in a path: `posts`.
    pub(super) plural: String,
    /// The singular: `post`.
    pub(super) singular: String,
    /// The text fields of each; the first must not be empty.
    pub(super) fields: Vec<String>,
}

/// Words of an objective, the plural of what such a project stores, and its fields.
const KNOWN: [(&[&str], &str, &[&str]); 16] = [
    (&["blog", "post", "article"], "posts", &["title", "body", "author"]),
    (&["todo", "task", "kanban"], "todos", &["title", "notes", "due"]),
    (&["note", "journal", "diary"], "notes", &["title", "text"]),
    (&["shop", "store", "product", "catalog", "catalogue", "commerce"], "products", &["name", "description", "price"]),
    (&["library", "book", "bookstore"], "books", &["title", "author", "year"]),
    (&["chat", "message", "messenger", "forum"], "messages", &["text", "author"]),
    (&["bookmark", "link", "shortener"], "links", &["url", "title"]),
    (&["contact", "address", "crm", "customer"], "contacts", &["name", "email", "phone"]),
    (&["recipe", "cookbook", "cooking", "meal"], "recipes", &["name", "ingredients", "steps"]),
    (&["calendar", "event", "meetup", "booking", "appointment"], "events", &["title", "place", "date"]),
    (&["ticket", "issue", "bug", "helpdesk"], "tickets", &["title", "description", "state"]),
    (&["movie", "film", "cinema"], "movies", &["title", "director", "year"]),
    (&["expense", "budget", "finance", "invoice"], "expenses", &["title", "amount", "date"]),
    (&["quiz", "question", "poll", "survey"], "questions", &["text", "answer"]),
    (&["inventory", "warehouse", "stock"], "items", &["name", "place", "quantity"]),
    (&["user", "account", "auth", "login"], "users", &["name", "email"]),
];

/// Words of an objective that name no subject.
const NO_NOUNS: [&str; 47] = [
    "a",
    "an",
    "the",
    "and",
    "or",
    "for",
    "with",
    "of",
    "to",
    "in",
    "on",
    "that",
    "which",
    "it",
    "my",
    "me",
    "our",
    "build",
    "create",
    "make",
    "write",
    "add",
    "develop",
    "implement",
    "design",
    "generate",
    "please",
    "simple",
    "small",
    "full",
    "new",
    "rest",
    "restful",
    "api",
    "apis",
    "app",
    "application",
    "web",
    "website",
    "service",
    "server",
    "backend",
    "frontend",
    "python",
    "fastapi",
    "crud",
    "system",
];

impl Subject {
    /// Finds the subject of an objective.
    pub(super) fn of_objective(objective: &str) -> Self {
        let words: Vec<String> = objective
            .split(|character: char| !character.is_ascii_alphabetic())
            .filter(|word| word.len() > 1)
            .map(str::to_lowercase)
            .collect();
        for word in &words {
            let one = singular_of(word);
            if let Some((_, plural, fields)) = KNOWN.iter().find(|(names, ..)| names.contains(&one.as_str())) {
                return Self::new(&capitalised(word), plural, fields);
            }
        }
        match words.iter().rev().find(|word| word.len() > 2 && !NO_NOUNS.contains(&word.as_str())) {
            Some(word) => Self::new(&capitalised(word), &plural_of(&singular_of(word)), &["name", "description"]),
            None => Self::new("Items", "items", &["name", "description"]),
        }
    }

    fn new(project: &str, plural: &str, fields: &[&str]) -> Self {
        Self {
            project: project.to_owned(),
            plural: plural.to_owned(),
            singular: singular_of(plural),
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        }
    }

    /// The name of the schema: `Post`.
    pub(super) fn schema(&self) -> String {
        capitalised(&self.singular)
    }
}

fn singular_of(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 2) {
        return if word == "movies" { "movie".to_owned() } else { format!("{stem}y") };
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word.to_owned(),
    }
}

fn plural_of(word: &str) -> String {
    if let Some(stem) = word.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u'])) {
        return format!("{stem}ies");
    }
    if word.ends_with('s') { format!("{word}es") } else { format!("{word}s") }
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(objective: &str) -> (String, String, String) {
        let subject = Subject::of_objective(objective);
        (subject.project, subject.plural, subject.singular)
    }

    #[test]
    fn the_subject_of_an_objective_is_found() {
        let expected =
            |project: &str, plural: &str, singular: &str| (project.to_owned(), plural.to_owned(), singular.to_owned());
        assert_eq!(check("Build a REST API for a blog"), expected("Blog", "posts", "post"));
        assert_eq!(check("Build a FastAPI todo app with JWT auth"), expected("Todo", "todos", "todo"));
        assert_eq!(check("an app that keeps my movies"), expected("Movies", "movies", "movie"));
        assert_eq!(check("Build an API for penguins"), expected("Penguins", "penguins", "penguin"));
        assert_eq!(check("a service for every galaxy"), expected("Galaxy", "galaxies", "galaxy"));
        assert_eq!(check("Build it"), expected("Items", "items", "item"));
        assert_eq!(check("造一个博客"), expected("Items", "items", "item"));
    }
}
