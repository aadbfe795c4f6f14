//! The server's catalogue as objects that people can look at.

use std::sync::Arc;

use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use crate::api::{ApiResource, AuthorizationServer, ExternalApplication};
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{CATALOGUE, is_conflict, is_not_found};
use crate::domain::capabilities::CatalogueSource;
use crate::domain::catalogue::merged;
use crate::domain::observed::ServerFacts;
use crate::domain::reason::Reason;
use crate::domain::registration::Catalogue;
use crate::domain::server_status::{catalogue_changes, catalogue_objects, is_ours, resource_status};

/// Makes the objects show the catalogue: new, changed and removed resources.
pub async fn publish(object: &AuthorizationServer, catalogue: &Catalogue, ctx: &Context) -> Result<(), Error> {
    let present = declared(object, ctx);
    let there: Vec<&ApiResource> = present.iter().map(Arc::as_ref).collect();
    let changes = catalogue_changes(object, &catalogue_objects(object, catalogue), &there);
    let api: Api<ApiResource> = Api::namespaced(ctx.client.clone(), &object.namespace().unwrap_or_default());
    for wanted in &changes.apply {
        let body = json!({
            "apiVersion": ApiResource::api_version(&()), "kind": ApiResource::kind(&()),
            "metadata": wanted.metadata, "spec": wanted.spec
        });
        ctx.metrics.wrote("ApiResource", "catalogue");
        let parameters = PatchParams::apply(CATALOGUE).force();
        let written = api.patch(&wanted.name_any(), &parameters, &Patch::Apply(&body)).await?;
        tell(object, &written, ctx).await?;
    }
    for (name, uid) in &changes.remove {
        let preconditions = Some(Preconditions { uid: Some(uid.clone()), resource_version: None });
        ctx.metrics.wrote("ApiResource", "catalogue");
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// What is known of a server, with what is declared for it.
pub fn completed(facts: ServerFacts, own: &Catalogue, object: &AuthorizationServer, ctx: &Context) -> ServerFacts {
    let objects = declared(object, ctx);
    let others = objects.iter().map(Arc::as_ref).filter(|resource| !is_ours(object, resource));
    let catalogue = merged(own, others, &facts.capabilities).into();
    ServerFacts { catalogue, ..facts }
}

/// The objects that name this server, its own and others.
fn declared(object: &AuthorizationServer, ctx: &Context) -> Vec<Arc<ApiResource>> {
    let (name, namespace) = (object.name_any(), object.namespace());
    let names_it =
        |resource: &Arc<ApiResource>| resource.namespace() == namespace && resource.spec.server_ref.name == name;
    ctx.resources.state().into_iter().filter(names_it).collect()
}

/// Brings the status of every object that names this server up to date.
pub async fn tell_all(object: &AuthorizationServer, ctx: &Context) -> Result<(), Error> {
    for resource in declared(object, ctx) {
        tell(object, &resource, ctx).await?;
    }
    Ok(())
}

async fn tell(object: &AuthorizationServer, resource: &ApiResource, ctx: &Context) -> Result<(), Error> {
    let uses = |app: &Arc<ExternalApplication>| {
        app.spec.resources.iter().any(|requested| requested.name == resource.spec.identifier)
    };
    let applications = ctx.applications_of(&super::key_of(object)).iter().filter(|app| uses(app)).count();
    let Some(facts) = ctx.servers.get(&super::key_of(object)).facts() else { return Ok(()) };
    let source = facts.capabilities.catalogue;
    let Some(status) = resource_status(object, resource, source, applications, ctx.now()) else { return Ok(()) };
    if source == CatalogueSource::Own
        && !is_ours(object, resource)
        && resource.status.as_ref().is_none_or(|status| status.conditions.is_empty())
    {
        let note = "this server has a catalogue of its own, and what is declared here is not used";
        ctx.events.publish(resource, Tone::Warning, Reason::CatalogueNotDeclarable, note);
    }
    match ctx.kubernetes().status(resource, &status, None).await {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
