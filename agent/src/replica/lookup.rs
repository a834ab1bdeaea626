//! What the agent itself asks the replica.

use std::collections::BTreeSet;

use sqlx::{Row as _, sqlite::SqliteRow};

use umail_proto::functions::Function;
use uuid::Uuid;

use super::{Replica, ReplicaError, connection::statement};

impl Replica {
    /// The user with this canonical address; none when the replica does not know it.
    pub async fn user_id(&self, address: &str) -> Result<Option<String>, ReplicaError> {
        let Some((local_part, domain)) = address.rsplit_once('@') else { return Ok(None) };
        let row = statement("SELECT user_id FROM account WHERE local_part = ? AND domain = ?")
            .bind(local_part)
            .bind(domain)
            .fetch_optional(&mut self.files.lock().await.directory)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Every address that the user may send as.
    pub async fn sender_addresses(&self, user_id: &str) -> Result<BTreeSet<String>, ReplicaError> {
        statement(
            "SELECT u.local_part || '@' || n.name
               FROM user u JOIN domain_name n ON n.domain_id = u.domain_id WHERE u.id = ?1
             UNION
             SELECT a.local_part || '@' || n.name
               FROM alias a JOIN domain_name n ON n.domain_id = a.domain_id WHERE a.user_id = ?1",
        )
        .bind(user_id)
        .fetch_all(&mut self.files.lock().await.directory)
        .await?
        .iter()
        .map(|row| Ok(row.try_get(0)?))
        .collect()
    }

    /// Whether this user or its domain is deleted, or unknown to the replica.
    pub async fn is_deleted(&self, user_id: &str) -> Result<bool, ReplicaError> {
        let row = statement("SELECT 1 FROM account WHERE user_id = ? AND status < 6")
            .bind(user_id)
            .fetch_optional(&mut self.files.lock().await.directory)
            .await?;
        Ok(row.is_none())
    }

    /// Which of these addresses, each with the bit of a function, would not be let in by it now:
    /// places in the list. Nobody is named before the first snapshot.
    pub async fn refused(&self, sessions: &[(&str, u64)]) -> Result<Vec<usize>, ReplicaError> {
        let list = serde_json::to_string(sessions)
            .map_err(|error| ReplicaError::Refused(error.to_string()))?;
        let mut files = self.files.lock().await;
        let rows = statement(
            "SELECT s.key FROM position, json_each(?) s
              WHERE NOT EXISTS (
                SELECT 1 FROM account a
                 WHERE a.local_part = substr(s.value ->> 0, 1, instr(s.value ->> 0, '@') - 1)
                   AND a.domain = (SELECT canonical FROM domain_name
                                    WHERE name = substr(s.value ->> 0, instr(s.value ->> 0, '@') + 1))
                   AND a.status = 1 AND a.functions & (s.value ->> 1) <> 0)
              ORDER BY s.key",
        )
        .bind(list)
        .fetch_all(&mut files.directory)
        .await?;
        let place = |row: &SqliteRow| row.try_get::<i64, _>(0);
        let places: Result<Vec<_>, _> = rows.iter().map(place).collect();
        Ok(places?.into_iter().filter_map(|place| usize::try_from(place).ok()).collect())
    }

    /// The app password in this place of those that the user with this canonical address has for a
    /// function, as Dovecot counts them; none when there are fewer.
    pub async fn app_password(
        &self,
        address: &str,
        function: Function,
        place: u32,
    ) -> Result<Option<Uuid>, ReplicaError> {
        let Some(user_id) = self.user_id(address).await? else { return Ok(None) };
        let row = statement(
            "SELECT id FROM live_credential
              WHERE user_id = ? AND kind = 2 AND functions & ? <> 0
              ORDER BY id DESC LIMIT 1 OFFSET ?",
        )
        .bind(user_id)
        .bind((function as u64).cast_signed())
        .bind(place)
        .fetch_optional(&mut self.files.lock().await.secrets)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Uuid::parse_str(row.try_get(0)?).ok())
    }

    /// The move that this user is frozen for; none when it is not.
    pub async fn frozen_for(&self, user_id: &str) -> Result<Option<String>, ReplicaError> {
        let row = statement("SELECT move_id FROM frozen WHERE user_id = ?")
            .bind(user_id)
            .fetch_optional(&mut self.files.lock().await.directory)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// The keys of [`Replica::throttle`] that are refused now, sorted.
    pub async fn throttled(&self) -> Result<Vec<String>, ReplicaError> {
        statement("SELECT key FROM throttled ORDER BY key")
            .fetch_all(&mut self.files.lock().await.directory)
            .await?
            .iter()
            .map(|row| Ok(row.try_get(0)?))
            .collect()
    }
}
