//! The catalogue of resources and scopes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::wire::{ResourceAnswer, ScopeAnswer};
use crate::local_cloud::cloud::{Caller, Cloud};
use crate::local_cloud::errors::ApiError;

/// `GET /api/ExternalApiResource`: any valid token may ask. The numbers say which types a registration may hold:
/// 0 user only, 1 application only, 2 either.
pub async fn list(State(cloud): State<Arc<Cloud>>, _caller: Caller) -> Result<Json<Vec<ResourceAnswer>>, ApiError> {
    let answer = |resource: &crate::local_cloud::catalogue::Resource| {
        let mut answer = ResourceAnswer::new(resource.name, resource.display_name);
        let scopes = resource.scopes.iter();
        answer.scopes = scopes.map(|scope| ScopeAnswer::new(&scope.name, scope.available.number())).collect();
        answer
    };
    Ok(Json(cloud.catalogue.resources().iter().map(answer).collect()))
}
