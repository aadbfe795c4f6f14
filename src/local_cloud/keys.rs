//! The keys that sign access tokens. Each algorithm has one key; all of them are published, one of them signs.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::SigningAlgorithm;

/// A key could not be made or read, or a token could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The cryptographic library failed to make a key.
    #[error("no {0} key could be made")]
    Generate(&'static str),
    /// The stored key is of no use.
    #[error("the stored {algorithm} key cannot be used")]
    Stored {
        /// The algorithm it is stored under.
        algorithm: String,
        /// Why.
        #[source]
        source: jsonwebtoken::errors::Error,
    },
    /// A token could not be signed.
    #[error("a token could not be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// What a JWT is for. It stands in the header, so that none can be taken for the other (RFC 8725 section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// Opens resources (RFC 9068).
    Access,
    /// Tells a client who signed in.
    Id,
}

impl TokenType {
    fn name(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Id => "JWT",
        }
    }
}

/// Makes a private key in PEM (PKCS #8), the form that is stored.
pub fn generate_pem(algorithm: SigningAlgorithm) -> Result<SecretString, KeyError> {
    let failed = |_| KeyError::Generate(algorithm.name());
    let encoded = match algorithm {
        SigningAlgorithm::Rs256 => {
            let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
            STANDARD.encode(der.as_ref())
        }
        SigningAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            STANDARD.encode(pair.to_pkcs8v1().map_err(failed)?.as_ref())
        }
    };
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in encoded.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(SecretString::from(pem))
}

struct Key {
    id: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: Jwk,
}

impl Key {
    fn read(algorithm: &str, pem: &SecretString) -> Result<Self, KeyError> {
        let read = || {
            let pem = pem.expose_secret().as_bytes();
            let (kind, encoding) = if algorithm == SigningAlgorithm::Es256.name() {
                (Algorithm::ES256, EncodingKey::from_ec_pem(pem)?)
            } else {
                (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)?)
            };
            let mut public = Jwk::from_encoding_key(&encoding, kind)?;
            let id = public.thumbprint(ThumbprintHash::SHA256)?;
            public.common.key_id = Some(id.clone());
            public.common.public_key_use = Some(PublicKeyUse::Signature);
            let decoding = DecodingKey::from_jwk(&public)?;
            Ok(Self { id, algorithm: kind, encoding, decoding, public })
        };
        read().map_err(|source| KeyError::Stored { algorithm: algorithm.to_owned(), source })
    }
}

/// All keys of this stand-in.
pub struct SigningKeys {
    keys: Vec<Key>,
    signs: usize,
}

impl SigningKeys {
    /// Reads the stored keys (algorithm and PEM), of which the one for `signs_with` must be there.
    pub fn read(stored: &[(String, SecretString)], signs_with: SigningAlgorithm) -> Result<Self, KeyError> {
        let keys = stored.iter().map(|(algorithm, pem)| Key::read(algorithm, pem)).collect::<Result<Vec<_>, _>>()?;
        let signs = stored
            .iter()
            .position(|(algorithm, _)| algorithm == signs_with.name())
            .ok_or(KeyError::Generate(signs_with.name()))?;
        Ok(Self { keys, signs })
    }

    /// The name (RFC 7518) of the algorithm that signs new tokens.
    pub fn algorithm(&self) -> &'static str {
        match self.keys[self.signs].algorithm {
            Algorithm::ES256 => SigningAlgorithm::Es256.name(),
            _ => SigningAlgorithm::Rs256.name(),
        }
    }

    /// A signed JWT that carries `claims`.
    pub fn sign(&self, kind: TokenType, claims: &impl Serialize) -> Result<String, KeyError> {
        let key = &self.keys[self.signs];
        let typ = Some(kind.name().to_owned());
        let header = Header { kid: Some(key.id.clone()), typ, ..Header::new(key.algorithm) };
        jsonwebtoken::encode(&header, claims, &key.encoding).map_err(KeyError::Sign)
    }

    /// The claims of `token` if one of these keys signed it for this use. Times and issuer are the caller's to judge.
    pub fn verify<T: DeserializeOwned>(&self, kind: TokenType, token: &str) -> Option<T> {
        let header =
            jsonwebtoken::decode_header(token).ok().filter(|header| header.typ.as_deref() == Some(kind.name()))?;
        let key = self.keys.iter().find(|key| Some(&key.id) == header.kid.as_ref())?;
        let mut validation = Validation::new(key.algorithm);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Some(jsonwebtoken::decode(token, &key.decoding, &validation).ok()?.claims)
    }

    /// The public keys (RFC 7517).
    pub fn published(&self) -> JwkSet {
        JwkSet { keys: self.keys.iter().map(|key| key.public.clone()).collect() }
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_token_for_one_use_is_none_for_the_other() {
        let algorithm = SigningAlgorithm::Es256;
        let stored = [(algorithm.name().to_owned(), generate_pem(algorithm).unwrap())];
        let keys = SigningKeys::read(&stored, algorithm).unwrap();
        for (kind, other) in [(TokenType::Access, TokenType::Id), (TokenType::Id, TokenType::Access)] {
            let token = keys.sign(kind, &json!({ "sub": "ada" })).unwrap();
            assert_eq!(keys.verify::<Value>(kind, &token).unwrap()["sub"], "ada");
            assert!(keys.verify::<Value>(other, &token).is_none());
        }
    }
}
