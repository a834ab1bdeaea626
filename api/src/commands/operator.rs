//! `umail-api operator`: the first operator, and the way back in.

use clap::Subcommand;
use umail_api_types::operators::{NewOperator, OperatorPatch, OperatorRole};
use umail_proto::ids::OperatorId;

use crate::{
    app::{self, sessions::Whose},
    authn::random,
    commands::{print, with_system},
    config::Config,
    context::Context,
    error::{Error, Result},
    model::revision::Precondition,
    store,
};

/// Look after operators
#[derive(Debug, Subcommand)]
pub(super) enum Operator {
    /// Add an operator; the password is printed once unless it is read
    Create {
        /// The name to sign in with
        name: String,
        /// `system_admin` or `super_domain_admin`
        #[arg(long, default_value = "system_admin")]
        role: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give an operator a new password; it is printed once unless it is read
    ResetPassword {
        /// The name that the operator signs in with
        name: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove the second factor of an operator who has lost it
    ResetTotp {
        /// The name that the operator signs in with
        name: String,
    },
}

impl Operator {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let (name, password) = match self {
            Self::Create { name, role, password_stdin } => {
                let password = Given::take(password_stdin)?;
                let text = password.text.clone();
                with_system(config, async |cx| create(cx, name.clone(), &role, text).await).await?;
                (name, password.shown())
            }
            Self::ResetPassword { name, password_stdin } => {
                let password = Given::take(password_stdin)?;
                let text = password.text.clone();
                with_system(config, async |cx| reset_password(cx, &name, text).await).await?;
                (name, password.shown())
            }
            Self::ResetTotp { name } => {
                with_system(config, async |cx| reset_totp(cx, &name).await).await?;
                (name, None)
            }
        };
        let lines = [Some(format!("operator: {name}")), password];
        print(&lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
    }
}

/// A password that was read, or was made and is to be shown.
struct Given {
    text: String,
    is_made: bool,
}

impl Given {
    fn take(is_read: bool) -> Result<Self> {
        let text = if is_read { read_password()? } else { random::secret("")? };
        Ok(Self { text, is_made: !is_read })
    }

    fn shown(&self) -> Option<String> {
        self.is_made.then(|| format!("password: {}", self.text))
    }
}

async fn create(cx: &Context, name: String, role: &str, password: String) -> Result<()> {
    let role = OperatorRole::from_name(role);
    let role =
        role.ok_or_else(|| Error::invalid("--role", "must be system_admin or super_domain_admin"))?;
    app::operators::create(cx, NewOperator { name, role, password }).await.map(|_| ())
}

async fn find(cx: &Context, name: &str) -> Result<OperatorId> {
    let found = store::operators::find_id(cx.pool(), name).await?;
    found.ok_or_else(|| Error::not_found("operator", name))
}

async fn reset_totp(cx: &Context, name: &str) -> Result<()> {
    app::totp::reset(cx, &Whose::Operator(find(cx, name).await?)).await
}

async fn reset_password(cx: &Context, name: &str, password: String) -> Result<()> {
    let id = find(cx, name).await?;
    let patch = OperatorPatch { password: Some(password), ..OperatorPatch::default() };
    app::operators::update(cx, id, Precondition::Any, patch).await.map(|_| ())
}

/// One line, so that `echo` and a file with a newline at its end do.
fn read_password() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(Error::internal)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
