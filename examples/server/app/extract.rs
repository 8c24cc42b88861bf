//! Extractors for handlers: the caller, the run, the body, the query.
//!
//! A handler that takes [`Caller`] cannot be reached without a key; one that takes [`OwnedRun`] cannot get another
//! organisation's run. Extractors run in the order of the arguments, so the caller is checked before the rest of the request.

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
/// How long a body may take to arrive: a client that sends one byte per minute must not keep a request open.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// The organisation whose key was sent with the request.
pub(crate) struct Caller(pub(crate) OrganisationId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Some(key) = parts.headers.get(KEY_HEADER).and_then(|key| key.to_str().ok()) else {
            return Err(ApiError::unauthorized("missing API key; send it in the header x-api-key"));
        };
        let organisation = app.accounts.organisation(key).await?;
        organisation.map(Self).ok_or_else(|| ApiError::unauthorized("unknown API key"))
    }
}

/// The run in the path, which belongs to the caller.
pub(crate) struct OwnedRun {
    pub(crate) run: Run,
    pub(crate) record: RunRecord,
}

impl OwnedRun {
    /// Finds the run if it belongs to `owner`. A missing run and another organisation's run give the same error.
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

/// A JSON body. The content type is not checked.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let read = tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, app)).await;
        let bytes = read.map_err(|_| ApiError::too_slow())?.map_err(unreadable)?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|error| ApiError::invalid(format!("cannot read the request body: {error}")))
    }
}

fn unreadable(rejection: BytesRejection) -> ApiError {
    let detail = rejection.body_text();
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ => ApiError::invalid(detail),
    }
}

/// The parameters of the query string.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, app).await;
        query.map(|Query(asked)| Self(asked)).map_err(|rejection| ApiError::invalid(rejection.body_text()))
    }
}
