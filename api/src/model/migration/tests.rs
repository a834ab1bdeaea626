use time::OffsetDateTime;
use umail_api_types::limit::Quota;
use umail_proto::functions::Functions;
use uuid::Uuid;

use super::*;
use crate::model::sending::SendingLimits;

const MYSQL: &str = include_str!("../../../../tests/api/migration/postfixadmin.mysql.sql");
const POSTGRES: &str = include_str!("../../../../tests/api/migration/postfixadmin.pgsql.sql");
const MAILCOW: &str = include_str!("../../../../tests/api/migration/mailcow.sql");

fn options(quota: Quota) -> Options {
    let plan = Plan {
        id: Uuid::nil().into(),
        name: "large".to_owned(),
        quota,
        sending: SendingLimits::default(),
        functions: Functions::ALL,
        revision: 1,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    };
    Options { plan, is_plan_named: true, reset_weak: false, update: false }
}

fn steps_of(panel: Panel, dump: &str, options: &Options, existing: &Existing) -> Steps {
    let (source, _) = panel.read(dump.as_bytes(), String::new()).unwrap();
    decide(source, options, existing)
}

fn steps(panel: Panel, dump: &str) -> Steps {
    steps_of(panel, dump, &options(Quota::Unlimited), &Existing::default())
}

/// Without the lines, in the order of tables and keys.
fn refused(list: &[Refusal]) -> Vec<String> {
    let mut texts: Vec<_> =
        list.iter().map(|one| one.to_string().split_once(": ").unwrap().1.to_owned()).collect();
    texts.sort();
    texts
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

#[test]
fn what_cannot_be_taken_over_is_said_with_the_reason() {
    let found = refused(&steps(Panel::PostfixAdmin, MYSQL).report.refused);
    let long = format!("{}@{}.example", "l".repeat(64), vec!["d".repeat(60); 3].join("."));
    let domain = long.split_once('@').unwrap().1.to_owned();
    let mut expected = vec![
        "alias @old.example: goto: must be one address: make an alias for more, and name that",
        "alias bob@example.com: goto: the vacation message is not taken over",
        "alias disabled@example.com: active: is disabled: aliases are there or not",
        "alias loop1@example.com: goto: leads back to itself, or to one that does",
        "alias loop2@example.com: goto: leads back to itself, or to one that does",
        "alias other@example.net: address: example.net is another name of example.com, without \
         addresses of its own",
        "alias pipe@example.com: goto: |/usr/bin/procmail 'x': must be an address: name@domain",
        "alias to-carol@example.com: goto: carol@example.com is not taken over",
        "alias to-loop@example.com: goto: leads back to itself, or to one that does",
        "alias toself@example.com: goto: leads to the address itself",
        "alias_domain lost.example: target_domain: domain backup.example is not taken over",
        "alias_domain off.example: active: is disabled: another name is there or not",
        "domain backup.example: is a backup MX: domains without mailboxes are not hosted here",
        "domain relayed.example: is relayed to another server: such domains are not hosted here",
        "domain under_score.example: domain: must be a domain name",
        "fetchmail alice@example.com pop.example.org: mail is not fetched from other servers here",
        "mailbox carol@example.com: password: {MD5-CRYPT} is weak: {ARGON2ID}, {BLF-CRYPT}, \
         {SHA512-CRYPT} and {PBKDF2} are taken; --reset-weak adds the user without a password",
        "mailbox erin@büro.example: name: must not contain control characters: the user has none",
        "mailbox ghost@nowhere.example: username: domain nowhere.example is not taken over",
        "mailbox jürgen@example.com: username: must consist of ASCII letters, digits, and dots \
         between them",
        "mailbox no-at-sign: username: must be an address: name@domain",
        "mailbox with+tag@example.com: username: must not contain +, which begins a tag",
        "mailbox x@backup.example: username: domain backup.example is not taken over",
    ];
    let too_long = format!("mailbox {long}: username: domain {domain} is not taken over");
    expected.push(&too_long);
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_database_leads_to_the_same_steps_whatever_dumped_it() {
    let bare = |dump| {
        let mut steps = steps(Panel::PostfixAdmin, dump);
        for one in &mut steps.domains {
            one.origin.line = 0;
        }
        for one in &mut steps.users {
            one.origin.line = 0;
        }
        for one in steps.aliases.iter_mut().chain(&mut steps.forwardings) {
            one.origin.line = 0;
        }
        steps.domains.sort_by(|one, other| one.name.cmp(&other.name));
        steps.users.sort_by(|one, other| one.address.cmp(&other.address));
        steps.aliases.sort_by(|one, other| one.address.cmp(&other.address));
        steps.forwardings.sort_by(|one, other| one.address.cmp(&other.address));
        let refused = refused(&steps.report.refused);
        let Steps { domains, users, aliases, forwardings, quotas, report, .. } = steps;
        (domains, users, aliases, forwardings, quotas, report.counts, refused)
    };
    assert_eq!(bare(MYSQL), bare(POSTGRES));
}

#[test]
fn steps_are_what_the_rows_say() {
    let steps = steps(Panel::PostfixAdmin, MYSQL);
    let names: Vec<_> =
        steps.domains.iter().map(|one| (one.name.to_string(), one.status)).collect();
    let expected = [
        ("xn--bro-hoa.example", Status::Active),
        ("example.com", Status::Active),
        ("old.example", Status::Closed),
    ];
    assert_eq!(names, expected.map(|(name, status)| (name.to_owned(), status)));
    let user = |name: &str| steps.users.iter().find(|one| one.address == address(name)).unwrap();
    assert_eq!(user("alice@example.com").display_name, "Alice O'Hara \"Al\" \\ Büro");
    assert_eq!(user("alice@example.com").quota_bytes, Some(1_048_576_000));
    assert_eq!(user("bob@example.com").display_name, "=HYPERLINK(\"http://x\")");
    let functions = user("bob@example.com").functions.as_ref().unwrap();
    let all = umail_api_types::functions::names(Functions::ALL).len();
    assert!(!functions.contains(&FunctionName::Submission) && functions.len() == all - 1);
    assert_eq!(user("dave@example.com").status, Status::Closed);
    assert_eq!(user("erin@xn--bro-hoa.example").quota_bytes, None);
    let forwardings: Vec<_> = steps
        .forwardings
        .iter()
        .map(|one| (one.address.as_str(), one.keep_copy, one.targets.clone()))
        .collect();
    let expected = [
        ("alice@example.com", true, vec![address("partner@elsewhere.example")]),
        ("dave@example.com", false, vec![address("alice@example.com")]),
    ];
    assert_eq!(forwardings, expected);
    let alias = |name: &str| steps.aliases.iter().position(|one| one.address == address(name));
    let sales = &steps.aliases[alias("sales@example.com").unwrap()];
    assert_eq!(sales.targets, [address("alice@example.com"), address("bob@example.com")]);
    assert!(alias("chain@example.com") > alias("sales@example.com"), "targets come first");
    assert!(alias("stale@example.com").is_some(), "as it was");
    let [all] = steps.groups.as_slice() else { panic!("one group") };
    assert_eq!((all.members.len(), all.posting), (101, Posting::Anyone));
    let [catch_all] = steps.catch_alls.as_slice() else { panic!("one catch-all") };
    assert_eq!(catch_all.target, address("alice@example.com"));
    assert_eq!(steps.domain_aliases[0].name.as_str(), "example.net");
    assert_eq!(refused(&steps.report.left_out).len(), 3);
}

#[test]
fn who_has_a_weak_password_is_added_without_one_on_request() {
    let wish = Options { reset_weak: true, ..options(Quota::Unlimited) };
    let steps = steps_of(Panel::Mailcow, MAILCOW, &wish, &Existing::default());
    let without: Vec<_> = steps
        .users
        .iter()
        .filter(|one| one.password == Password::Nothing)
        .map(|one| one.address.as_str())
        .collect();
    assert_eq!(without, ["carol@example.com", "dave@example.com"]);
    assert!(steps.users.iter().all(|one| one.password != Password::Nothing || one.must_change));
    assert_eq!(steps.report.reset, 2);
}

#[test]
fn rows_of_mailcow_are_what_they_mean_there() {
    let steps = steps(Panel::Mailcow, MAILCOW);
    let expected = [
        "alias bin@example.com: goto: null@localhost: mail is not thrown away here",
        "alias learn@example.com: goto: spam@localhost: mail is not learned from here",
        "app_passwd alice@example.com phone: app passwords are made anew by their users",
        "domain relay.example: is relayed to another server: such domains are not hosted here",
        "mailbox carol@example.com: password: {SSHA256} is weak: {ARGON2ID}, {BLF-CRYPT}, \
         {SHA512-CRYPT} and {PBKDF2} are taken; --reset-weak adds the user without a password",
        "mailbox dave@example.com: password: is in Keycloak, not in the dump; --reset-weak adds \
         the user without a password",
        "mailbox room@example.com: kind: is a resource of a calendar, nobody's mailbox",
    ];
    assert_eq!(refused(&steps.report.refused), expected);
    let user = |name: &str| steps.users.iter().find(|one| one.address == address(name)).unwrap();
    let bob = user("bob@example.com");
    assert_eq!((bob.status, bob.must_change), (Status::Locked, true));
    assert!(!bob.functions.as_ref().unwrap().contains(&FunctionName::Pop3));
    assert_eq!(user("off@example.com").status, Status::Closed);
    assert_eq!(steps.groups[0].posting, Posting::Domain);
    assert_eq!(steps.aliases.len(), 1);
    assert_eq!(steps.catch_alls[0].target, address("bob@example.com"));
}

#[test]
fn quotas_must_fit_the_plan() {
    let small = options(Quota::AtMost(1_048_576_000));
    let steps = steps_of(Panel::PostfixAdmin, MYSQL, &small, &Existing::default());
    let of_quota: Vec<_> =
        steps.report.refused.iter().filter(|one| one.field == "quota").cloned().collect();
    let more = "the plan large has at most 1048576000: --plan names another";
    let expected = [
        format!("mailbox carol@example.com: quota: is unlimited, {more}"),
        format!("mailbox erin@büro.example: quota: is unlimited, {more}"),
        format!("mailbox frank@old.example: quota: is unlimited, {more}"),
        format!("mailbox greedy@example.com: quota: is 1099511627776, {more}"),
    ];
    assert_eq!(refused(&of_quota), expected);
    let alice = steps.users.iter().find(|one| one.address == address("alice@example.com"));
    assert_eq!(alice.unwrap().quota_bytes, None, "that of the plan");
    assert_eq!(steps.quotas.last_key_value(), Some((&1_099_511_627_776, &1)));
}

/// A dump of one domain with these rows of `alias`: address and targets.
fn dump(aliases: &[(&str, &str)]) -> String {
    let rows = aliases.iter().map(|(address, goto)| format!("('{address}','{goto}')"));
    let rows = rows.collect::<Vec<_>>().join(",");
    format!(
        "INSERT INTO domain (domain) VALUES ('a.example'),('b.example');\n\
         INSERT INTO mailbox (username, password, maildir) VALUES ('u@a.example','{{SHA512-CRYPT}}\
         $6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9KiH9VIVNEjJGDiZ\
         5w6GRN4wkote69WuBJ.','');\nINSERT INTO alias (address, goto) VALUES {rows};"
    )
}

#[test]
fn circles_are_found_across_domains_and_through_forwardings() {
    let circle = dump(&[
        ("one@a.example", "two@b.example"),
        ("two@b.example", "u@a.example"),
        ("u@a.example", "one@a.example"),
        ("ok@a.example", "x@elsewhere.example"),
    ]);
    let found = steps(Panel::PostfixAdmin, &circle);
    assert_eq!(found.report.refused.len(), 3);
    assert_eq!(found.aliases.len(), 1);
    // A mailbox that keeps a copy is where mail ends.
    let copy = circle
        .replace("'u@a.example','one@a.example'", "'u@a.example','U@A.example,one@a.example'");
    let found = steps(Panel::PostfixAdmin, &copy);
    assert_eq!((found.report.refused.len(), found.aliases.len()), (0, 3));
    assert!(found.forwardings[0].keep_copy);
}

#[test]
fn what_is_there_is_left_alone_or_changed_on_request() {
    let dump = dump(&[("x@a.example", "u@a.example,v@c.example"), ("@a.example", "u@a.example")]);
    let held = |status, targets: &[&str], name: &str| {
        let mut existing = Existing::default();
        let domain = HeldName::Domain { status, catch_all: Some(address("u@a.example")) };
        existing.names.insert(DomainName::parse("a.example").unwrap(), domain);
        let targets = targets.iter().map(|one| address(one)).collect();
        existing.addresses.insert(address("x@a.example"), Held::Alias(targets));
        let user = Held::User {
            display_name: name.to_owned(),
            status: Status::Active,
            functions: Functions::ALL,
            quota: None,
            hash: None,
            forwarding: None,
        };
        existing.addresses.insert(address("u@a.example"), user);
        existing
    };
    let same = held(Status::Active, &["v@c.example", "u@a.example"], "");
    let wish = options(Quota::Unlimited);
    let found = steps_of(Panel::PostfixAdmin, &dump, &wish, &same);
    assert!(found.users.is_empty() && found.aliases.is_empty() && found.catch_alls.is_empty());
    assert_eq!(found.domains.len(), 1, "the other one");
    assert!(found.report.is_complete());

    let other = held(Status::Locked, &["v@c.example"], "Somebody");
    let found = steps_of(Panel::PostfixAdmin, &dump, &wish, &other);
    let expected = [
        "alias x@a.example: is there already with other targets: --update changes it",
        "domain a.example: is there already with the status locked: --update changes it",
        "mailbox u@a.example: is there already with another name: --update changes it",
    ];
    assert_eq!(refused(&found.report.refused), expected);
    let update = Options { update: true, ..wish };
    let found = steps_of(Panel::PostfixAdmin, &dump, &update, &other);
    assert!(found.report.is_complete());
    assert_eq!((found.domains[0].kind, found.users[0].kind), (Do::Change, Do::Change));

    let mut taken = Existing::default();
    taken.names.insert(DomainName::parse("a.example").unwrap(), HeldName::Deleted);
    let alias = HeldName::DomainAlias(DomainName::parse("z.example").unwrap());
    taken.names.insert(DomainName::parse("b.example").unwrap(), alias);
    let found = steps_of(Panel::PostfixAdmin, &dump, &update, &taken);
    assert_eq!(found.report.refused.len(), 5, "{:?}", found.report.refused);
}

#[test]
fn another_panels_dump_is_told_apart() {
    for (panel, dump, reason) in [
        (Panel::Mailcow, MYSQL, "mailbox has no column attributes"),
        (Panel::PostfixAdmin, MAILCOW, "mailbox has no column maildir"),
        (Panel::Mailcow, "SELECT 1;", "there is no table domain"),
    ] {
        let said = panel.read(dump.as_bytes(), String::new()).unwrap_err().to_string();
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn what_cannot_be_a_name_is_refused_in_few_words() {
    let long = "x".repeat(5_000);
    let dump = dump(&[(&format!("{long}@a.example"), "u@a.example")]);
    let found = refused(&steps(Panel::PostfixAdmin, &dump).report.refused);
    let expected = format!("alias {}: address: is too long", "x".repeat(320));
    assert_eq!(found, [expected]);
    // In another character set.
    let latin = dump.replace(&long, "ä").into_bytes();
    let latin = latin.iter().filter(|one| **one != 0xc3).copied().collect::<Vec<_>>();
    let (source, _) = Panel::PostfixAdmin.read(latin.as_slice(), String::new()).unwrap();
    assert!(source.refused[0].reason.starts_with("must be UTF-8"), "{:?}", source.refused);
}
