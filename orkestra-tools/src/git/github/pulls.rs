//! The calls of the REST API that a pull request needs.

use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::answer::said;
use super::{Github, Place};
use crate::error::ToolError;
use crate::web::{FetchRequest, FetchResponse, one_line};

const CREATING: &str = "creating the pull request";

/// A pull request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pull {
    pub(super) url: String,
    pub(super) number: u64,
    /// Whether it was there before.
    pub(super) existed: bool,
}

#[derive(Deserialize)]
struct RepositoryAnswer {
    default_branch: String,
}

#[derive(Deserialize)]
struct PullAnswer {
    html_url: String,
    number: u64,
    head: Option<RefAnswer>,
    base: Option<RefAnswer>,
}

#[derive(Deserialize)]
struct RefAnswer {
    #[serde(rename = "ref")]
    name: String,
}

impl Github {
    /// The branch of the repository that is never pushed to.
    pub(super) async fn default_branch(&self, place: &Place) -> Result<String, ToolError> {
        const DOING: &str = "looking up the repository";
        let request = FetchRequest::get(self.api_url(place, ""));
        let response = self.api(request).await.map_err(|error| self.unreachable(DOING, &error))?;
        if response.status != 200 {
            return Err(self.refused(DOING, place, &response));
        }
        let answer: RepositoryAnswer = read(&response).map_err(|why| {
            ToolError::Refused(format!(
                "the answer about {place} is not GitHub's: {why}; ask the operator to check the address of the API"
            ))
        })?;
        Ok(answer.default_branch)
    }

    /// Creates the pull request, or finds the one that there is.
    pub(super) async fn pull(&self, place: &Place, title: &str, body: &str) -> Result<Pull, ToolError> {
        let content = json!({"title": title, "body": body, "head": place.head, "base": place.base});
        let request = FetchRequest::post_json(self.api_url(place, "/pulls"), &content);
        let response = self.api(request).await.map_err(|error| unknown(place, &error.to_string()))?;
        let said = said(&response).to_ascii_lowercase();
        match response.status {
            201 => {
                let answer: PullAnswer = read(&response).map_err(|why| unknown(place, &why))?;
                Ok(Pull { url: one_line(&answer.html_url, 500), number: answer.number, existed: false })
            }
            422 if said.contains("already exists") => self.existing(place).await,
            422 if said.contains("no commits between") => Err(pushed_only(
                place,
                &format!(
                    "`{}` has no commits that `{}` does not have; commit to it and call again",
                    place.head, place.base
                ),
            )),
            500..=599 => Err(unknown(place, &format!("GitHub failed ({})", response.status))),
            _ => Err(pushed_only(place, &self.refused(CREATING, place, &response).to_string())),
        }
    }

    async fn existing(&self, place: &Place) -> Result<Pull, ToolError> {
        let strange = |why: &str| {
            pushed_only(
                place,
                &format!("GitHub says that there is one already, but it is not found: {why}; call again"),
            )
        };
        let mut url = Url::parse(&self.api_url(place, "/pulls")).map_err(|error| strange(&error.to_string()))?;
        let head = format!("{}:{}", place.owner, place.head);
        url.query_pairs_mut().extend_pairs([("state", "open"), ("head", &head), ("base", &place.base)]);
        let request = FetchRequest::get(url.as_str());
        let response = self.api(request).await.map_err(|error| strange(&error.to_string()))?;
        if response.status != 200 {
            return Err(pushed_only(place, &self.refused("looking up the pull request", place, &response).to_string()));
        }
        let pulls: Vec<PullAnswer> = read(&response).map_err(|why| strange(&why))?;
        // A filter that GitHub does not understand is ignored.
        let is = |answer: &Option<RefAnswer>, name: &str| answer.as_ref().is_some_and(|answer| answer.name == name);
        let found = pulls.into_iter().find(|pull| is(&pull.head, &place.head) && is(&pull.base, &place.base));
        let found = found.ok_or_else(|| strange("none of the open ones is of this branch"))?;
        Ok(Pull { url: one_line(&found.html_url, 500), number: found.number, existed: true })
    }
}

fn read<T: serde::de::DeserializeOwned>(response: &FetchResponse) -> Result<T, String> {
    if !response.is_complete {
        return Err("it is too long".to_owned());
    }
    serde_json::from_slice(&response.body).map_err(|error| one_line(&error.to_string(), 200))
}

fn pushed_only(place: &Place, why: &str) -> ToolError {
    ToolError::Failed(format!("`{}` is pushed to {place}, but no pull request was created: {why}", place.head))
}

fn unknown(place: &Place, why: &str) -> ToolError {
    ToolError::Failed(format!(
        "`{}` is pushed to {place}, but it is not known whether the pull request was created: {why}; call again with the same arguments, \
         which is safe",
        place.head
    ))
}
