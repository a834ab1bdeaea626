//! Exports: the users of a scope as a file that can be imported.

use std::collections::{HashMap, VecDeque};

use umail_api_types::{functions::names, imports::Format};
use umail_proto::ids::{DepartmentId, DomainId, PlanId, UserId};

use crate::{
    app::{
        audit::{self, Subject},
        domains,
    },
    authz::{self, Action, Resource},
    context::Context,
    error::Result,
    model::{
        department::{Department, path},
        domain::DomainRef,
        import::{Column, write_cell, write_functions},
        page::Page,
        user::User,
    },
    store,
};

/// Users, and domains, that are read at once.
const AT_ONCE: i64 = 1_000;

/// An export, part by part: as many bytes are in memory as a part has, however many users there are.
#[derive(Debug)]
pub struct Export {
    cx: Context,
    format: Format,
    columns: Vec<Column>,
    /// Domains that are still to come, and whether there may be more behind them.
    domains: VecDeque<DomainId>,
    after_domain: Option<DomainId>,
    has_more: bool,
    /// The domain that is at work.
    at: Option<Place>,
    plans: HashMap<PlanId, String>,
    is_begun: bool,
}

#[derive(Debug)]
struct Place {
    domain: DomainId,
    departments: HashMap<DepartmentId, Department>,
    after: Option<UserId>,
}

/// Begins to export a domain, or, with nothing, all domains of the caller's scope.
pub async fn begin(
    cx: &Context,
    domain: Option<&DomainRef>,
    (format, has_hashes): (Format, bool),
) -> Result<Export> {
    let asked = |id| (Action::List, Resource::Imports(id));
    let domain = match domain {
        Some(domain) => Some(domains::find(cx, domain, |id| asked(Some(id))).await?.id),
        None => cx.authorize(Action::List, Resource::Imports(None)).map(|()| None)?,
    };
    if has_hashes {
        cx.require_person()?;
        cx.authorize(Action::Operate, Resource::Imports(domain))?;
        let mut tx = cx.begin().await?;
        let subject = match domain {
            Some(domain) => Subject::of(domain, "password hashes", domain),
            None => Subject::system("password hashes", uuid::Uuid::nil()),
        };
        audit::record(&mut tx, cx, Action::Read, subject, None, None).await?;
        tx.commit().await?;
    }
    let columns = Column::ALL.into_iter().filter(|column| match column {
        Column::Password => false,
        Column::PasswordHash | Column::MustChangePassword => has_hashes,
        _ => true,
    });
    let plans = store::plans::list(cx.pool(), Page { after: None, limit: 10_000 }).await?;
    Ok(Export {
        cx: cx.clone(),
        format,
        columns: columns.collect(),
        domains: domain.into_iter().collect(),
        after_domain: None,
        has_more: domain.is_none(),
        at: None,
        plans: plans.into_iter().map(|plan| (plan.id, plan.name)).collect(),
        is_begun: false,
    })
}

impl Export {
    /// The next part of the file; nothing at its end.
    pub async fn next(&mut self) -> Result<Option<String>> {
        if !self.is_begun {
            self.is_begun = true;
            if self.format == Format::Csv {
                let names: Vec<_> = self.columns.iter().map(|column| column.name()).collect();
                return Ok(Some(format!("{}\n", names.join(","))));
            }
        }
        loop {
            if self.at.is_none() && !self.enter().await? {
                return Ok(None);
            }
            let has_hashes = self.has_hashes();
            let Some(place) = &mut self.at else { return Ok(None) };
            // The rights of now.
            self.cx = self.cx.renewed().await?;
            self.cx.authorize(Action::List, Resource::Imports(Some(place.domain)))?;
            if has_hashes {
                self.cx.authorize(Action::Operate, Resource::Imports(Some(place.domain)))?;
            }
            let among = authz::visible_among(self.cx.caller(), place.domain, None);
            let page = Page { after: place.after.map(UserId::uuid), limit: AT_ONCE };
            let users = store::accounts::list(self.cx.pool(), place.domain, &among, page).await?;
            let Some(last) = users.last() else {
                self.at = None;
                continue;
            };
            place.after = Some(last.id);
            return self.written(&users).await.map(Some);
        }
    }

    /// Goes to the next domain; false when there is none.
    async fn enter(&mut self) -> Result<bool> {
        if self.domains.is_empty() && self.has_more {
            let among = authz::visible_domains(self.cx.caller());
            let page = Page { after: self.after_domain.map(DomainId::uuid), limit: AT_ONCE };
            let (db, among) = (self.cx.pool(), among.as_deref());
            let next = store::domains::list(db, among, None, page).await?.rows;
            self.has_more = !next.is_empty();
            self.after_domain = next.last().map(|domain| domain.id);
            self.domains = next.into_iter().map(|domain| domain.id).collect();
        }
        let Some(domain) = self.domains.pop_front() else { return Ok(false) };
        let departments = store::departments::list_of_domains(self.cx.pool(), &[domain]).await?;
        self.at = Some(Place {
            domain,
            departments: departments.into_iter().map(|one| (one.id, one)).collect(),
            after: None,
        });
        Ok(true)
    }

    fn has_hashes(&self) -> bool {
        self.columns.contains(&Column::PasswordHash)
    }

    async fn written(&self, users: &[User]) -> Result<String> {
        let passwords = if self.has_hashes() {
            let ids: Vec<_> = users.iter().map(|user| user.id).collect();
            store::credentials::list_passwords(self.cx.pool(), &ids).await?
        } else {
            HashMap::new()
        };
        let mut text = String::new();
        for user in users {
            let cells = self
                .columns
                .iter()
                .map(|column| (*column, self.cell(user, *column, passwords.get(&user.id))));
            match self.format {
                Format::Csv => {
                    let cells: Vec<_> = cells.map(|(_, cell)| write_cell(&cell)).collect();
                    text.push_str(&cells.join(","));
                }
                Format::Ndjson => {
                    let cells: serde_json::Map<_, _> = cells
                        .map(|(column, cell)| (column.name().to_owned(), cell.into()))
                        .collect();
                    text.push_str(&serde_json::Value::Object(cells).to_string());
                }
            }
            text.push('\n');
        }
        Ok(text)
    }

    fn cell(&self, user: &User, column: Column, password: Option<&(String, bool)>) -> String {
        let number = |number: Option<i64>| number.map_or_else(String::new, |one| one.to_string());
        let [size, messages_hour, messages_day, recipients_hour, recipients_day] = user.sending.0;
        let profile = &user.profile;
        match column {
            Column::Address => user.address.to_string(),
            Column::DisplayName => user.display_name.clone(),
            Column::GivenName => profile.given_name.clone(),
            Column::FamilyName => profile.family_name.clone(),
            Column::EmployeeNumber => profile.employee_number.clone(),
            Column::Title => profile.title.clone(),
            Column::Phone => profile.phone.clone(),
            Column::Locale => profile.locale.clone(),
            Column::TimeZone => profile.time_zone.clone(),
            Column::ExternalId => profile.external_id.clone(),
            Column::Department => {
                let place = self.at.as_ref();
                let path = |id| place.map(|place| path(&place.departments, id));
                user.department_id.and_then(path).unwrap_or_default()
            }
            Column::Plan => self.plans.get(&user.plan_id).cloned().unwrap_or_default(),
            Column::QuotaBytes => number(user.quota),
            Column::MessageSizeBytes => number(size),
            Column::MessagesPerHour => number(messages_hour),
            Column::MessagesPerDay => number(messages_day),
            Column::RecipientsPerHour => number(recipients_hour),
            Column::RecipientsPerDay => number(recipients_day),
            Column::Status => user.status.name().to_owned(),
            Column::Functions => write_functions(&names(user.functions)),
            Column::PasswordHash => password.map(|(hash, _)| hash.clone()).unwrap_or_default(),
            Column::MustChangePassword => {
                password.map(|(_, must)| must.to_string()).unwrap_or_default()
            }
            Column::Password => String::new(),
        }
    }
}
