//! Between the domain's words and Hydra's fields. Pure.

use std::collections::BTreeSet;

use super::lifespan::Lifespan;
use super::wire::{ClientAnswer, Fields, GrantTypes, Lifespans, Mark as Keys, Scopes};
use crate::domain::grants::{AUTHORIZATION_CODE, grant_types};
use crate::domain::jwks::KeySet;
use crate::domain::registration::{
    BY_SECRET, ClientId, ClientType, Credential, Desired, Mark, Owner, PRIVATE_KEY_JWT, Registered, SecretId,
    SecretInfo, Setting, SettingValue, Settings, both_grants,
};

/// Everything that Hydra lets a client set of what an application may ask for.
pub(super) const SETTINGS: [Setting; 15] = [
    Setting::TokenEndpointAuthMethod,
    Setting::TokenEndpointAuthSigningAlg,
    Setting::JwksUri,
    Setting::Jwks,
    Setting::Audiences,
    Setting::AccessTokenLifespan,
    Setting::RefreshTokenLifespan,
    Setting::IdTokenLifespan,
    Setting::AccessTokenStrategy,
    Setting::PostLogoutRedirectUris,
    Setting::AllowedCorsOrigins,
    Setting::FrontchannelLogoutUri,
    Setting::BackchannelLogoutUri,
    Setting::SkipConsent,
    Setting::SkipLogoutConsent,
];
/// The authentication method of a client without a secret.
const NONE: &str = "none";
/// What a client with a secret uses unless it is told otherwise.
const BASIC: &str = "client_secret_basic";
/// What assertions are signed with unless the client says another (OpenID Connect Registration 1.0 section 2 leaves it open).
const RS256: &str = "RS256";
/// The response type of the authorization code flow.
const CODE: &str = "code";
/// Names the secret of a client that carries no name for it: the one that it was made with, by whoever made it.
const UNNAMED: &str = "original";

/// A name for the application that people find again in a list of clients.
fn owner(owner: &Owner) -> String {
    format!("extapp/{}/{}", owner.namespace, owner.name)
}

impl Fields {
    /// The same client as it shall be. What is not asked for stays.
    pub(super) fn wanted(&self, desired: &Desired) -> Self {
        let mut fields = self.clone();
        fields.client_name.clone_from(&desired.display_name);
        fields.owner = owner(&desired.owner);
        fields.redirect_uris.clone_from(&desired.redirect_uris);
        fields.scope = Scopes(desired.scopes.iter().map(|scope| scope.name.clone()).collect());
        fields.grant_types = GrantTypes(grant_types(desired));
        if fields.grant_types.0.contains(AUTHORIZATION_CODE) {
            fields.response_types.insert(CODE.into());
        }
        for (setting, value) in &desired.settings {
            fields.set(*setting, value);
        }
        fields.keep_to_the_algorithm_of_the_keys(desired);
        let asked = desired.settings.contains_key(&Setting::TokenEndpointAuthMethod);
        match desired.client_type {
            ClientType::NonConfidential => fields.token_endpoint_auth_method = Some(NONE.into()),
            // With another one the secret would be of no use.
            ClientType::Confidential if !asked && !fields.takes_a_secret() => {
                fields.token_endpoint_auth_method = Some(BASIC.into());
            }
            ClientType::Confidential => {}
        }
        fields
    }

    /// Whether the client authenticates with its secret.
    pub(super) fn takes_a_secret(&self) -> bool {
        self.token_endpoint_auth_method.as_deref().is_some_and(|method| BY_SECRET.contains(&method))
    }

    /// The server takes one algorithm alone, RS256 if it is not told another: that of the keys, if nobody asks for one.
    fn keep_to_the_algorithm_of_the_keys(&mut self, desired: &Desired) {
        let asked = desired.settings.contains_key(&Setting::TokenEndpointAuthSigningAlg);
        if let Some(SettingValue::Keys(keys)) = desired.settings.get(&Setting::Jwks).filter(|_| !asked) {
            keys.algorithm().unwrap_or_default().clone_into(&mut self.token_endpoint_auth_signing_alg);
        }
    }

    fn set(&mut self, setting: Setting, value: &SettingValue) {
        match (setting, value) {
            (Setting::TokenEndpointAuthSigningAlg, SettingValue::Text(algorithm)) => {
                self.token_endpoint_auth_signing_alg.clone_from(algorithm);
            }
            // The server takes one of the two.
            (Setting::JwksUri, SettingValue::Text(uri)) => (self.jwks_uri, self.jwks) = (uri.clone(), None),
            (Setting::Jwks, SettingValue::Keys(keys)) if self.jwks.as_ref() != Some(keys) => {
                (self.jwks_uri, self.jwks) = (String::new(), Some(keys.clone()));
            }
            (Setting::TokenEndpointAuthMethod, SettingValue::Text(method)) => {
                self.token_endpoint_auth_method = Some(method.clone());
            }
            (Setting::AccessTokenStrategy, SettingValue::Text(strategy)) => {
                self.access_token_strategy = Some(strategy.clone());
            }
            (Setting::FrontchannelLogoutUri, SettingValue::Text(uri)) => self.frontchannel_logout_uri.clone_from(uri),
            (Setting::BackchannelLogoutUri, SettingValue::Text(uri)) => self.backchannel_logout_uri.clone_from(uri),
            (Setting::Audiences, SettingValue::List(items)) => self.audience.clone_from(items),
            (Setting::PostLogoutRedirectUris, SettingValue::List(items)) => {
                self.post_logout_redirect_uris.clone_from(items);
            }
            (Setting::AllowedCorsOrigins, SettingValue::List(items)) => self.allowed_cors_origins.clone_from(items),
            (Setting::AccessTokenLifespan, SettingValue::Seconds(seconds)) => {
                self.lifespans.each(Token::Access, |lifespan| *lifespan = Some(Lifespan(*seconds)));
            }
            (Setting::RefreshTokenLifespan, SettingValue::Seconds(seconds)) => {
                self.lifespans.each(Token::Refresh, |lifespan| *lifespan = Some(Lifespan(*seconds)));
            }
            (Setting::IdTokenLifespan, SettingValue::Seconds(seconds)) => {
                self.lifespans.each(Token::Id, |lifespan| *lifespan = Some(Lifespan(*seconds)));
            }
            (Setting::SkipConsent, SettingValue::Flag(skip)) => self.skip_consent = *skip,
            (Setting::SkipLogoutConsent, SettingValue::Flag(skip)) if self.skip_logout_consent != Some(*skip) => {
                // Absent is false already.
                let says = *skip || self.skip_logout_consent.is_some();
                self.skip_logout_consent = says.then_some(*skip);
            }
            // A value of another form than the setting has: the domain makes none.
            _ => {}
        }
    }

    /// What the client says of everything that can be set.
    fn settings(&self) -> Settings {
        let text = |text: &str| (!text.is_empty()).then(|| SettingValue::Text(text.to_owned()));
        let list = |items: &BTreeSet<String>| Some(SettingValue::List(items.clone()));
        let value = |setting| match setting {
            Setting::TokenEndpointAuthMethod => text(self.token_endpoint_auth_method.as_deref().unwrap_or(BASIC)),
            Setting::AccessTokenStrategy => self.access_token_strategy.as_deref().and_then(text),
            Setting::FrontchannelLogoutUri => text(&self.frontchannel_logout_uri),
            Setting::BackchannelLogoutUri => text(&self.backchannel_logout_uri),
            Setting::Audiences => list(&self.audience),
            Setting::PostLogoutRedirectUris => list(&self.post_logout_redirect_uris),
            Setting::AllowedCorsOrigins => list(&self.allowed_cors_origins),
            Setting::AccessTokenLifespan => self.lifespans.common(Token::Access),
            Setting::RefreshTokenLifespan => self.lifespans.common(Token::Refresh),
            Setting::IdTokenLifespan => self.lifespans.common(Token::Id),
            Setting::SkipConsent => Some(SettingValue::Flag(self.skip_consent)),
            Setting::SkipLogoutConsent => Some(SettingValue::Flag(self.skip_logout_consent.unwrap_or(false))),
            Setting::TokenEndpointAuthSigningAlg => text(&self.token_endpoint_auth_signing_alg),
            Setting::JwksUri => text(&self.jwks_uri),
            Setting::Jwks => self.jwks.clone().map(SettingValue::Keys),
        };
        SETTINGS.into_iter().filter_map(|setting| Some((setting, value(setting)?))).collect()
    }

    /// The grant types that the client can use: a code is given only to who may ask for one.
    fn usable_grant_types(&self) -> BTreeSet<String> {
        let mut types = self.grant_types.0.clone();
        if !self.response_types.is_empty() && !self.response_types.contains(CODE) {
            types.remove(AUTHORIZATION_CODE);
        }
        let told = self.token_endpoint_auth_signing_alg.as_str();
        let takes = if told.is_empty() { RS256 } else { told };
        let signs = self.jwks.as_ref().filter(|_| self.token_endpoint_auth_method.as_deref() == Some(PRIVATE_KEY_JWT));
        if signs.and_then(KeySet::algorithm).is_some_and(|algorithm| algorithm != takes) {
            types.insert(format!("authenticates(with {takes} alone)"));
        }
        types
    }

    fn client_type(&self) -> ClientType {
        match self.token_endpoint_auth_method.as_deref() {
            Some(NONE) => ClientType::NonConfidential,
            _ => ClientType::Confidential,
        }
    }
}

/// What a lifespan is of. Hydra has one for each grant that gives such a token; an application asks for one for all.
#[derive(Clone, Copy)]
enum Token {
    Access,
    Refresh,
    Id,
}

impl Lifespans {
    fn of(&self, token: Token) -> Vec<Option<Lifespan>> {
        let mut all = Vec::new();
        self.clone().each(token, |lifespan| all.push(*lifespan));
        all
    }

    fn each(&mut self, token: Token, act: impl FnMut(&mut Option<Lifespan>)) {
        match token {
            Token::Access => {
                let all = [
                    &mut self.client_credentials_access,
                    &mut self.authorization_code_access,
                    &mut self.refresh_token_access,
                ];
                all.into_iter().for_each(act);
            }
            Token::Refresh => {
                [&mut self.authorization_code_refresh, &mut self.refresh_token_refresh].into_iter().for_each(act);
            }
            Token::Id => [&mut self.authorization_code_id, &mut self.refresh_token_id].into_iter().for_each(act),
        }
    }

    /// The one value that all of them have; all values where they differ, which is like none that can be asked for.
    fn common(&self, token: Token) -> Option<SettingValue> {
        let all = self.of(token);
        let first = *all.first()?;
        if all.iter().all(|lifespan| *lifespan == first) {
            return first.map(|lifespan| SettingValue::Seconds(lifespan.0));
        }
        let shown =
            |lifespan: &Option<Lifespan>| lifespan.map_or("not set".into(), |lifespan| format!("{}s", lifespan.0));
        Some(SettingValue::Text(all.iter().map(shown).collect::<Vec<_>>().join(", ")))
    }
}

impl ClientAnswer {
    pub(super) fn registered(self) -> Registered {
        Registered {
            client_id: ClientId::new(self.client_id.as_str()),
            client_type: self.fields.client_type(),
            scopes: both_grants(self.fields.scope.0.iter().map(String::as_str)),
            secrets: self.secret().into_iter().collect(),
            grant_types: Some(self.fields.usable_grant_types()),
            settings: self.fields.settings(),
            owner: self.mark().uid.map_or(Mark::Absent, Mark::Uid),
            display_name: self.fields.client_name,
            redirect_uris: self.fields.redirect_uris,
        }
    }

    /// The one secret of a client, by the name that we gave it. `None` where nobody knows it, or it is never asked for.
    pub(super) fn secret(&self) -> Option<SecretInfo> {
        let keys = self.mark();
        let id = keys.credential.as_deref().unwrap_or(UNNAMED);
        let usable = self.fields.client_type() == ClientType::Confidential && !id.is_empty();
        usable.then(|| SecretInfo {
            id: SecretId::new(id),
            description: None,
            created_at: keys.credential_created_at.as_deref().and_then(|time| time.parse().ok()),
            expires_at: None,
            value: None,
        })
    }
}

impl Keys {
    /// The name of a secret, for its client.
    pub(super) fn of(credential: &Credential) -> Self {
        Self {
            uid: None,
            credential: credential.id.as_ref().map(ToString::to_string),
            credential_created_at: credential.created_at.map(|time| time.to_string()),
        }
    }

    /// The same of a secret that nobody is told.
    pub(super) fn of_nobodys(credential: &Credential) -> Self {
        Self { credential: Some(String::new()), ..Self::of(credential) }
    }

    /// The same of a secret that the server made by itself.
    pub(super) fn nobodys() -> Self {
        Self { credential: Some(String::new()), ..Self::default() }
    }

    /// Whether nobody was told the secret that there is.
    pub(super) fn is_nobodys(&self) -> bool {
        self.credential.as_deref() == Some("")
    }
}

#[cfg(test)]
mod tests;
