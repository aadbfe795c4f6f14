//! From OAuth2Clients of hydra-maester to manifests of ours. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

/// The AuthorizationServer that the applications name.
#[derive(Clone, Debug)]
pub struct Target {
    pub namespace: String,
    pub name: String,
}

/// An OAuth2Client, with what its Secret says.
pub struct Found {
    pub object: DynamicObject,
    pub client_id: Option<String>,
    /// Whether the keys of the Secret are written in capitals.
    pub capitals: bool,
    pub has_secret: bool,
}

/// The scopes that Hydra itself names: they are shown under this resource without a declaration.
const OPENID: &str = "openid";
const OWN_SCOPES: [&str; 3] = ["openid", "offline", "offline_access"];

const INTRODUCTION: &str = "\
# Takes over what hydra-maester has registered: the client ids and the Secrets stay as they are.
#
# 1. Read the remarks. Stop hydra-maester, so that two operators do not work on the same clients:
#    kubectl scale deployment hydra-maester --replicas=0
# 2. kubectl apply --server-side -f this file
# 3. kubectl wait --for=condition=Ready extapp --all --all-namespaces
# 4. Start hydra-maester again, and delete the OAuth2Clients: their registrations stay (deletionPolicy Orphan).
";

/// One stream of YAML: remarks as comments, then what is to be applied.
pub fn convert(found: &[Found], server: &Target, resource: &str) -> Result<String, serde_saphyr::ser::Error> {
    let clients: Vec<Client<'_>> = found.iter().map(|found| Client::of(found, resource)).collect();
    let mut text = INTRODUCTION.to_owned();
    if let Some(catalogue) = catalogue(&clients, server, resource) {
        document(&mut text, &catalogue)?;
    }
    for client in &clients {
        text.extend(["---\n# OAuth2Client ", &client.namespace, "/", &client.name, "\n"]);
        for remark in &client.remarks {
            text.extend(["# - ", remark, "\n"]);
        }
        for manifest in client.manifests(server) {
            document(&mut text, &manifest)?;
        }
    }
    Ok(text)
}

fn document(text: &mut String, manifest: &Value) -> Result<(), serde_saphyr::ser::Error> {
    text.push_str("---\n");
    text.push_str(&serde_saphyr::to_string(manifest)?);
    Ok(())
}

/// One OAuth2Client in our words.
struct Client<'a> {
    found: &'a Found,
    spec: &'a Value,
    namespace: String,
    name: String,
    user_scopes: BTreeMap<String, BTreeSet<String>>,
    application_scopes: BTreeMap<String, BTreeSet<String>>,
    remarks: Vec<String>,
    /// Whether there is something to adopt that can be said in our words.
    movable: bool,
}

impl<'a> Client<'a> {
    fn of(found: &'a Found, resource: &str) -> Self {
        let spec = &found.object.data["spec"];
        let mut client = Self {
            found,
            spec,
            namespace: found.object.namespace().unwrap_or_default(),
            name: found.object.name_any(),
            user_scopes: BTreeMap::new(),
            application_scopes: BTreeMap::new(),
            remarks: Vec::new(),
            movable: true,
        };
        client.sort_scopes(resource);
        client.look_for_trouble();
        client
    }

    fn has_grant(&self, grant: &str) -> bool {
        strings(&self.spec["grantTypes"]).iter().any(|known| known == grant)
    }

    fn is_public(&self) -> bool {
        self.spec["tokenEndpointAuthMethod"] == "none"
    }

    fn sort_scopes(&mut self, resource: &str) {
        let mut scopes = strings(&self.spec["scopeArray"]);
        scopes.extend(self.spec["scope"].as_str().unwrap_or_default().split_whitespace().map(ToOwned::to_owned));
        let (user, alone) = (self.has_grant("authorization_code"), self.has_grant("client_credentials"));
        for scope in scopes {
            let own = OWN_SCOPES.contains(&scope.as_str());
            let place = if own { OPENID } else { resource };
            if user {
                self.user_scopes.entry(place.into()).or_default().insert(scope.clone());
            }
            if alone && !own && !self.is_public() {
                self.application_scopes.entry(place.into()).or_default().insert(scope);
            }
        }
    }

    fn look_for_trouble(&mut self) {
        let mut left = |reason: &str| {
            self.remarks.push(format!("NOT taken over: {reason}"));
            self.movable = false;
        };
        let method = self.spec["tokenEndpointAuthMethod"].as_str().unwrap_or("client_secret_basic");
        if self.found.client_id.is_none() {
            left("its Secret names no client id, so it is not registered");
        } else if method == "private_key_jwt" {
            left("it authenticates with a key of its own (private_key_jwt)");
        } else if method != "none" && !self.found.has_secret {
            left("its Secret has no client secret");
        } else if self.user_scopes.is_empty() && self.application_scopes.is_empty() {
            left("it needs the grant type authorization_code or client_credentials, and at least one scope for it");
        }
        if self.is_public() && self.movable {
            let id = self.found.client_id.as_deref().unwrap_or_default();
            self.remarks.push(format!(
                "it has no secret to prove whose it is: add {id} to allowedAdoptions of the AuthorizationServer"
            ));
        }
        for grant in strings(&self.spec["grantTypes"]) {
            if !["authorization_code", "client_credentials", "refresh_token"].contains(&grant.as_str()) {
                self.remarks.push(format!("the grant type {grant} has no place here and is taken away"));
            }
        }
        for audience in strings(&self.spec["audience"]) {
            self.remarks.push(format!(
                "the audience {audience} must be in allowedAudiences of the AuthorizationServer, unless both share a namespace"
            ));
        }
        let uris = strings(&self.spec["redirectUris"]);
        for uri in uris.iter().filter(|uri| !is_permitted(uri)) {
            self.remarks.push(format!("the redirect URI {uri} is refused: https, or http on loopback, and no `*`"));
        }
        for (field, lifespans) in self.lifespans() {
            if lifespans.len() > 1 {
                self.remarks.push(format!("{field}: it has several, by grant type; these stay as they are at Hydra"));
            }
        }
        if strings(&self.spec["responseTypes"]).iter().any(|types| types != "code") {
            self.remarks.push("response types other than code have no place here and stay as they are at Hydra".into());
        }
        for field in ["jwksUri", "requestUris", "sectorIdentifierUri", "hydraAdmin"] {
            if !self.spec[field].is_null() && self.spec[field] != json!({}) {
                self.remarks.push(format!("{field} has no place here and stays as it is at Hydra"));
            }
        }
    }

    /// The lifespans of each kind of token over the grant types that it uses.
    fn lifespans(&self) -> [(&'static str, BTreeSet<String>); 3] {
        let of = |token: &str| {
            let lifespan =
                |grant: &&str| self.spec["tokenLifespans"][format!("{grant}_grant_{token}_lifespan")].as_str();
            let used = ["authorization_code", "client_credentials", "refresh_token"];
            let used = used.iter().filter(|grant| self.has_grant(grant));
            used.filter_map(lifespan).map(ToOwned::to_owned).collect()
        };
        [
            ("accessTokenLifespan", of("access_token")),
            ("refreshTokenLifespan", of("refresh_token")),
            ("idTokenLifespan", of("id_token")),
        ]
    }

    fn settings(&self) -> Map<String, Value> {
        let mut settings = Map::new();
        let mut set = |field: &str, value: &Value| {
            let nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty) || *value == "";
            if !nothing {
                settings.insert(field.into(), value.clone());
            }
        };
        let method = &self.spec["tokenEndpointAuthMethod"];
        if method == "client_secret_basic" || method == "client_secret_post" {
            set("tokenEndpointAuthMethod", method);
        }
        for (field, theirs) in [
            ("audiences", "audience"),
            ("postLogoutRedirectUris", "postLogoutRedirectUris"),
            ("allowedCorsOrigins", "allowedCorsOrigins"),
            ("frontchannelLogoutUri", "frontChannelLogoutURI"),
            ("backchannelLogoutUri", "backChannelLogoutURI"),
            ("skipConsent", "skipConsent"),
            ("skipLogoutConsent", "skipLogoutConsent"),
            ("accessTokenStrategy", "accessTokenStrategy"),
        ] {
            set(field, &self.spec[theirs]);
        }
        for (field, lifespans) in self.lifespans() {
            if let [only] = lifespans.iter().collect::<Vec<_>>()[..] {
                set(field, &json!(only));
            }
        }
        settings
    }

    fn output(&self) -> Value {
        let name = &self.spec["secretName"];
        if self.is_public() {
            // Theirs is a Secret too, and what mounts it goes on mounting it.
            return json!({"name": name, "kind": "Secret", "format": if self.found.capitals { "Env" } else { "Standard" }});
        }
        if self.found.capitals {
            return json!({"name": name, "format": "Env"});
        }
        let template = json!({"client_id": "{{ clientId }}", "client_secret": "{{ clientSecret }}"});
        json!({"name": name, "format": "Template", "template": template})
    }

    fn manifests(&self, server: &Target) -> Vec<Value> {
        if !self.movable {
            return Vec::new();
        }
        let resources: BTreeSet<&String> = self.user_scopes.keys().chain(self.application_scopes.keys()).collect();
        let resource = |name: &String| {
            let mut resource = json!({"name": name});
            for (field, scopes) in [("userScopes", &self.user_scopes), ("applicationScopes", &self.application_scopes)]
            {
                if let Some(scopes) = scopes.get(name) {
                    resource[field] = json!(scopes);
                }
            }
            resource
        };
        let display_name = self.spec["clientName"].as_str().filter(|name| !name.is_empty()).unwrap_or(&self.name);
        let mut spec = json!({
            "serverRef": {"name": server.name, "namespace": server.namespace},
            "displayName": display_name,
            "type": if self.is_public() { "NonConfidential" } else { "Confidential" },
            "resources": resources.into_iter().map(resource).collect::<Vec<_>>(),
            "outputs": [self.output()],
            "adopt": {"clientId": self.found.client_id},
        });
        let uris = strings(&self.spec["redirectUris"]);
        if !uris.is_empty() {
            spec["redirectUris"] = json!(uris);
        }
        let settings = self.settings();
        if !settings.is_empty() {
            spec["settings"] = settings.into();
        }
        if self.spec["deletionPolicy"] == "Orphan" {
            spec["deletion"] = json!({"policy": "Retain"});
        }
        let place = |name: &Value| json!({"name": name, "namespace": self.namespace});
        let mut given = place(&self.spec["secretName"]);
        given["annotations"] = json!({ crate::api::GIVEN_TO: self.name });
        vec![
            json!({"apiVersion": "hydra.ory.sh/v1alpha1", "kind": "OAuth2Client", "metadata": place(&json!(self.name)),
                "spec": {"deletionPolicy": "Orphan"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": given}),
            json!({"apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication",
                "metadata": place(&json!(self.name)), "spec": spec}),
        ]
    }
}

/// The scopes of all of them, but those that Hydra itself names.
fn catalogue(clients: &[Client<'_>], server: &Target, resource: &str) -> Option<Value> {
    let mut grants: BTreeMap<&String, BTreeSet<&str>> = BTreeMap::new();
    for client in clients.iter().filter(|client| client.movable) {
        for (scopes, grant) in [(&client.user_scopes, "User"), (&client.application_scopes, "Application")] {
            for scope in scopes.get(resource).into_iter().flatten() {
                grants.entry(scope).or_default().insert(grant);
            }
        }
    }
    let scopes: Vec<Value> = grants.iter().map(|(name, grants)| json!({"name": name, "grants": grants})).collect();
    let name = format!("{}-imported", server.name);
    (!scopes.is_empty()).then(|| {
        json!({"apiVersion": "extapp.dev/v1alpha1", "kind": "ApiResource",
            "metadata": {"name": name, "namespace": server.namespace},
            "spec": {"serverRef": {"name": server.name}, "identifier": resource, "scopes": scopes}})
    })
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn is_permitted(uri: &str) -> bool {
    let Ok(url) = url::Url::parse(uri) else { return false };
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    scheme && !uri.contains(['*', '#', ',', ' '])
}

#[cfg(test)]
mod tests;
