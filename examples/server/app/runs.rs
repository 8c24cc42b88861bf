//! `POST /runs`, `GET /runs`, `GET /runs/{run_id}`, `POST /runs/{run_id}/cancel`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use orkestra::prelude::{RunId, RunQuery, RunRecord, RunStatus, Timestamp};
use orkestra::store::ListCursor;
use orkestra_agents::RunRequest;
use orkestra_agents::view::{RunBody, RunSummary, ShownStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use super::extract::{Asked, Body, Caller, OwnedRun};
use super::organisation::{ORGANISATION_LABEL, OrganisationId};
use super::project::{PROJECT_LABEL, ProjectId};
use super::secret::fingerprint;

/// The header with which a client can safely repeat a request for a run.
const IDEMPOTENCY_HEADER: &str = "idempotency-key";
const IDEMPOTENCY_BYTES_MAX: usize = 255;
/// The label with the fingerprint of an idempotent request.
const REQUEST_LABEL: &str = "request";

const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 100;

/// The request for a run. Unknown fields are refused, because ignoring one, such as a budget, would be misleading.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun {
    objective: String,
    project_id: Option<String>,
    model: Option<String>,
    tasks: Option<Vec<String>>,
}

/// Starts a run and answers at once. The run is durable by then and survives a crash.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Caller(organisation): Caller,
    headers: HeaderMap,
    Body(asked): Body<NewRun>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let project = asked.project_id.as_deref().map(ProjectId::parse).transpose()?;
    let mut labels = BTreeMap::from([(ORGANISATION_LABEL.to_owned(), organisation.as_str().to_owned())]);
    labels.extend(project.iter().map(|project| (PROJECT_LABEL.to_owned(), project.as_str().to_owned())));
    let id = idempotent_id(&headers, &organisation)?;
    let request = asked.fingerprint();
    if id.is_some() {
        labels.insert(REQUEST_LABEL.to_owned(), request.clone());
    }
    let run = app.orkestra.create(RunRequest {
        id: id.clone(),
        objective: asked.objective,
        project_id: project.map(|project| project.within(&organisation)),
        model: asked.model,
        tasks: asked.tasks.unwrap_or_default(),
        labels,
    });
    let run = run.await?;
    if id.is_some() && run.status().await?.labels.get(REQUEST_LABEL) != Some(&request) {
        return Err(ApiError::invalid("this Idempotency-Key was used for another request; use a new one"));
    }
    Ok((StatusCode::CREATED, Json(json!({"run_id": run.id(), "status": ShownStatus::Pending}))))
}

impl NewRun {
    fn fingerprint(&self) -> String {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let tasks = self.tasks.clone().unwrap_or_default().join("\n");
        fingerprint(&[&self.objective, &text(&self.project_id), &text(&self.model), &tasks])
    }
}

/// The run id for an idempotency key, unique to the organisation and the key.
fn idempotent_id(headers: &HeaderMap, organisation: &OrganisationId) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get(IDEMPOTENCY_HEADER) else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_BYTES_MAX).contains(&key.len()) => {
            Ok(Some(format!("key-{}", &fingerprint(&[organisation.as_str(), key])[..32])))
        }
        _ => Err(ApiError::invalid(format!(
            "Idempotency-Key: it must have 1 to {IDEMPOTENCY_BYTES_MAX} ASCII characters"
        ))),
    }
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    status: Option<String>,
    project_id: Option<String>,
}

/// The organisation's runs, newest first. `next_cursor` is the cursor of the next page, and null on the last page.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Caller(organisation): Caller,
    Asked(asked): Asked<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let mut labels = BTreeMap::from([(ORGANISATION_LABEL.to_owned(), organisation.as_str().to_owned())]);
    if let Some(project) = asked.project_id.as_deref().map(ProjectId::parse).transpose()? {
        labels.insert(PROJECT_LABEL.to_owned(), project.as_str().to_owned());
    }
    let limit = asked.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit: it must be 1 to {PAGE_MAX}")));
    }
    let query = RunQuery {
        statuses: asked.status.as_deref().map(status).transpose()?.into_iter().collect(),
        cursor: asked.cursor.as_deref().map(cursor).transpose()?,
        labels,
        limit,
        ..RunQuery::default()
    };
    let page = app.orkestra.engine().list(&query).await?;
    let next = page.next.map(|next| format!("{}.{}", next.created_at.as_millis(), next.id));
    Ok(Json(json!({"runs": page.items.iter().map(summary).collect::<Vec<_>>(), "next_cursor": next})))
}

/// NOTE: shows the project id that the user gave, not the one passed to the library.
fn summary(record: &RunRecord) -> RunSummary {
    let mut summary = RunSummary::of(record);
    summary.project_id = record.labels.get(PROJECT_LABEL).cloned();
    summary
}

/// NOTE: `pending` is only shown for a run just before its first node; lists show it as running.
fn status(text: &str) -> Result<RunStatus, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(format!("status: {error}")))
}

fn cursor(text: &str) -> Result<ListCursor, ApiError> {
    let parse = || {
        let (millis, id) = text.split_once('.')?;
        Some(ListCursor { created_at: Timestamp::from_millis(millis.parse().ok()?), id: RunId::new(id).ok()? })
    };
    parse().ok_or_else(|| ApiError::invalid("invalid cursor; use the next_cursor of the previous page"))
}

/// The status of a run, its nodes and its files.
pub(crate) async fn show(State(app): State<Arc<App>>, owned: OwnedRun) -> Result<Json<RunBody>, ApiError> {
    let body = app.orkestra.run_view(owned.run.id()).await?;
    let mut body = body.ok_or_else(|| ApiError::not_found("there is no such run"))?;
    body.project_id = owned.record.labels.get(PROJECT_LABEL).cloned();
    Ok(Json(body))
}

/// Cancels a run; it is `stopping` until its agents have stopped. Refused if it has ended.
pub(crate) async fn cancel(owned: OwnedRun) -> Result<Json<Value>, ApiError> {
    owned.run.cancel("cancelled over the API").await?;
    let record = owned.run.status().await?;
    Ok(Json(json!({"run_id": record.id, "status": ShownStatus::Is(record.status)})))
}
