//! Access tokens: JWTs signed with ES256, good for a quarter of an hour.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use umail_proto::ids::SessionId;

use crate::{
    database::pool::Pool,
    error::{Error, Result},
    sealer::Sealer,
    store,
};

/// How long an access token is good.
pub const LIFETIME: Duration = Duration::minutes(15);
/// The name of the key among the secrets.
const SECRET: &str = "jwt-es256";
/// Genuine tokens remembered at most.
const REMEMBERED: usize = 10_000;
const AUDIENCE: &str = "umail-api";
/// RFC 9068: no other kind of token of ours is taken for an access token.
const TYPE: &str = "at+jwt";

/// Signs and reads access tokens.
pub struct Tokens {
    signing: EncodingKey,
    reading: DecodingKey,
    validation: Validation,
    genuine: Mutex<HashMap<Box<str>, Claims>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: SessionId,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Loads the key, or makes it in a new database.
    pub async fn load(pool: &Pool, sealer: &Sealer) -> Result<Self> {
        let sealed = match store::secrets::find(pool, SECRET).await? {
            Some(sealed) => sealed,
            None => store::secrets::insert_or_find(pool, SECRET, &mint(sealer)?).await?,
        };
        Self::from_pkcs8(&sealer.open(SECRET, &sealed)?)
    }

    fn from_pkcs8(key: &[u8]) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key)
            .map_err(Error::internal)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        // Times are judged by our own clock, which tests can set.
        validation.validate_exp = false;
        Ok(Self {
            signing: EncodingKey::from_ec_der(key),
            reading: DecodingKey::from_ec_der(pair.public_key().as_ref()),
            validation,
            genuine: Mutex::default(),
        })
    }

    /// An access token for this session.
    pub fn sign(&self, session: SessionId, now: OffsetDateTime) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            sub: session,
            iat: now.unix_timestamp(),
            exp: (now + LIFETIME).unix_timestamp(),
        };
        jsonwebtoken::encode(&header, &claims, &self.signing).map_err(Error::internal)
    }

    /// The session of an access token that is genuine and has not expired.
    #[must_use]
    pub fn read(&self, token: &str, now: OffsetDateTime) -> Option<SessionId> {
        let claims = self.recall(token).or_else(|| self.verify(token))?;
        (claims.exp > now.unix_timestamp()).then_some(claims.sub)
    }

    /// Verifying a signature takes longer than all else that a request needs.
    fn recall(&self, token: &str) -> Option<Claims> {
        self.genuine.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn verify(&self, token: &str) -> Option<Claims> {
        let read = jsonwebtoken::decode::<Claims>(token, &self.reading, &self.validation).ok()?;
        if read.header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let mut genuine = self.genuine.lock().unwrap_or_else(PoisonError::into_inner);
        if genuine.len() >= REMEMBERED {
            genuine.clear();
        }
        genuine.insert(token.into(), read.claims.clone());
        Some(read.claims)
    }
}

fn mint(sealer: &Sealer) -> Result<Vec<u8>> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    sealer.seal(SECRET, key.map_err(Error::internal)?.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Tokens::from_pkcs8(key.unwrap().as_ref()).unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_key_and_its_time() {
        let (tokens, now) = (tokens(), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let session = SessionId::generate(now);
        let token = tokens.sign(session, now).unwrap();
        for _ in 0..2 {
            assert_eq!(tokens.read(&token, now), Some(session));
            assert_eq!(tokens.read(&token, now + LIFETIME), None);
        }
        assert_eq!(self::tokens().read(&token, now), None);
    }

    #[test]
    fn a_token_of_another_algorithm_or_type_is_not_read() {
        let (tokens, now) = (tokens(), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let session = SessionId::generate(now);
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            sub: session,
            iat: now.unix_timestamp(),
            exp: (now + LIFETIME).unix_timestamp(),
        };
        let plain = Header::new(Algorithm::ES256);
        let untyped = jsonwebtoken::encode(&plain, &claims, &tokens.signing).unwrap();
        assert_eq!(tokens.read(&untyped, now), None);
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        let key = EncodingKey::from_secret(b"guess");
        let symmetric = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        assert_eq!(tokens.read(&symmetric, now), None);
    }
}
