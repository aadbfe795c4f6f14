//! Access tokens and ID tokens.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::scopes::OPENID;
use crate::local_cloud::catalogue::Catalogue;
use crate::local_cloud::clock;
use crate::local_cloud::cloud::{Claims, Cloud};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::keys::TokenType;
use crate::local_cloud::store::grants::{ACCESS_LIFETIME, Grant};

/// How long an ID token is valid, in seconds: for its way to the client.
const ID_TOKEN_SECONDS: i64 = 300;

/// What an ID token says (OpenID Connect Core section 2).
#[derive(Debug, Serialize, Deserialize)]
pub struct IdClaims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    /// Seconds since the Unix epoch, as are the next two.
    pub iat: i64,
    pub exp: i64,
    pub auth_time: i64,
    pub sid: String,
    /// What was presented: a password.
    pub amr: Vec<String>,
    pub at_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The answer to a client that acts for itself.
pub fn for_itself(cloud: &Cloud, client: &str, scopes: &[String]) -> Result<Value, ApiError> {
    let token = cloud.keys.sign(TokenType::Access, &claims(cloud, client, scopes)?)?;
    Ok(answer(&token, scopes))
}

/// The answer to a client that acts for a person. `nonce` belongs into the first ID token only.
pub fn for_person(
    cloud: &Cloud,
    grant: &Grant,
    scopes: &[String],
    nonce: Option<String>,
    refresh_token: Option<&str>,
) -> Result<Value, ApiError> {
    let mut claims = claims(cloud, &grant.client, scopes)?;
    claims.sub.clone_from(&grant.person);
    "user".clone_into(&mut claims.sub_type);
    claims.sid = Some(grant.session.clone());
    claims.auth_time = Some(grant.signed_in / 1000);
    claims.grant_id = Some(grant.id.clone());
    let token = cloud.keys.sign(TokenType::Access, &claims)?;
    let mut answer = answer(&token, scopes);
    if scopes.iter().any(|scope| scope == OPENID) {
        let id_claims = IdClaims {
            iss: claims.iss,
            sub: claims.sub,
            aud: claims.client_id,
            iat: claims.iat,
            exp: claims.iat + ID_TOKEN_SECONDS,
            auth_time: grant.signed_in / 1000,
            sid: grant.session.clone(),
            amr: vec!["pwd".to_owned()],
            at_hash: at_hash(&token),
            nonce,
        };
        answer["id_token"] = cloud.keys.sign(TokenType::Id, &id_claims)?.into();
    }
    if let Some(token) = refresh_token {
        answer["refresh_token"] = token.into();
    }
    Ok(answer)
}

/// The left half of the hash that both signature algorithms use (OpenID Connect Core section 3.1.3.6).
fn at_hash(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest[..digest.len() / 2])
}

fn answer(token: &str, scopes: &[String]) -> Value {
    json!({
        "access_token": token,
        "expires_in": ACCESS_LIFETIME / 1000,
        "token_type": "Bearer",
        "scope": scopes.join(" "),
    })
}

fn claims(cloud: &Cloud, client: &str, scopes: &[String]) -> Result<Claims, ApiError> {
    let now = cloud.clock.now_milliseconds() / 1000;
    Ok(Claims {
        iss: cloud.issuer.clone(),
        sub: client.to_owned(),
        sub_type: "service.external".to_owned(),
        client_id: client.to_owned(),
        prt_id: cloud.organization.id,
        aud: audiences(&cloud.issuer, &cloud.catalogue, scopes),
        scope: scopes.to_vec(),
        iat: now,
        nbf: now,
        exp: now + ACCESS_LIFETIME / 1000,
        jti: clock::random_uuid()?.simple().to_string().to_ascii_uppercase(),
        sid: None,
        auth_time: None,
        grant_id: None,
    })
}

/// The resources that the scopes belong to; the userinfo endpoint is the issuer's own.
fn audiences(issuer: &str, catalogue: &Catalogue, scopes: &[String]) -> Vec<String> {
    let of_scope = |scope: &String| {
        if scope == OPENID { Some(issuer) } else { catalogue.find(scope).map(|(resource, _)| resource.name) }
    };
    let names: BTreeSet<&str> = scopes.iter().filter_map(of_scope).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_an_access_token_is_the_one_of_the_specification() {
        // OpenID Connect Core, appendix A.4.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(at_hash(token), "77QmUPtjPfzWtF2AnpK9RQ");
    }

    #[test]
    fn the_audiences_are_the_resources_of_the_scopes() {
        let of = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            audiences("http://issuer", &Catalogue::seeded(), &scopes)
        };
        assert_eq!(of(&["OR.Jobs", "OR.Default", "TM.Users"]), ["UiPath.Orchestrator", "UiPath.TestManager"]);
        assert_eq!(of(&["openid", "profile"]), ["http://issuer"]);
    }
}
