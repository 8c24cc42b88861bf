//! What handlers ask for in their arguments: who calls, which run, a body that says something.
//!
//! A handler that takes [`Caller`] cannot be reached without a key; one that takes [`OwnedRun`] cannot be given
//! somebody else's run. Arguments are read in their order: who calls is asked before what is wanted.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use orkestra::Run;
use orkestra::prelude::{RunId, RunRecord};
use serde::de::DeserializeOwned;

use super::App;
use super::error::ApiError;
use super::organisation::{ORGANISATION_LABEL, OrganisationId};

/// The header that carries the key.
pub(crate) const KEY_HEADER: &str = "x-api-key";
/// How long a body may take: a client that sends a byte a minute must not hold a request open.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// The organisation whose key came with the request.
pub(crate) struct Caller(pub(crate) OrganisationId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Some(key) = parts.headers.get(KEY_HEADER).and_then(|key| key.to_str().ok()) else {
            return Err(ApiError::unauthorized("an API key is needed in the header x-api-key"));
        };
        let organisation = app.accounts.organisation(key).await?;
        organisation.map(Self).ok_or_else(|| ApiError::unauthorized("this API key is not known"))
    }
}

/// The run of the path, which is the caller's own.
pub(crate) struct OwnedRun {
    pub(crate) run: Run,
    pub(crate) record: RunRecord,
}

impl OwnedRun {
    /// The run of this id if it belongs to `owner`; what is missing and what is foreign look the same.
    pub(crate) async fn find(app: &App, owner: &OrganisationId, id: &str) -> Result<Self, ApiError> {
        let missing = || ApiError::not_found("there is no such run");
        let id = RunId::new(id).map_err(|_| missing())?;
        let run = app.orkestra.engine().get(&id).await?.ok_or_else(missing)?;
        let record = run.status().await?;
        if record.labels.get(ORGANISATION_LABEL).map(String::as_str) != Some(owner.as_str()) {
            return Err(missing());
        }
        Ok(Self { run, record })
    }
}

impl FromRequestParts<Arc<App>> for OwnedRun {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Caller(owner) = Caller::from_request_parts(parts, app).await?;
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(id) = path.map_err(|_| ApiError::not_found("there is no such run"))?;
        Self::find(app, &owner, &id).await
    }
}

/// A JSON body. Any content type will do: what counts is what is in it.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let read = tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, app)).await;
        let bytes = read.map_err(|_| ApiError::too_slow())?.map_err(unreadable)?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|error| ApiError::invalid(format!("the body: {error}")))
    }
}

fn unreadable(rejection: BytesRejection) -> ApiError {
    let detail = rejection.body_text();
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ => ApiError::invalid(detail),
    }
}

/// What the query string says.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, app).await;
        query.map(|Query(asked)| Self(asked)).map_err(|rejection| ApiError::invalid(rejection.body_text()))
    }
}
