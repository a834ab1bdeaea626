use time::OffsetDateTime;
use umail_api_types::limit::{Limit, Quota};
use umail_proto::functions::{Function, Functions};
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
    Options {
        plan,
        is_plan_named: true,
        reset_weak: false,
        update: false,
        below_allocated: false,
        administrators: false,
    }
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

fn domain_name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
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
    assert!(
        !functions.contains(&FunctionName::Submission)
            && functions.len() == Function::ALL.len() - 1
    );
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
    let below = "--below-allocated sets it, and nothing more is given then";
    let below = [
        format!(
            "domain example.com: aliases: is a limit of 0 aliases, and there will be 1: {below}"
        ),
        format!(
            "domain example.com: mailboxes: is a limit of 0 users, and there will be 3: {below}"
        ),
    ];
    let expected = [
        "alias bin@example.com: goto: null@localhost: mail is not thrown away here",
        "alias learn@example.com: goto: spam@localhost: mail is not learned from here",
        "app_passwd alice@example.com phone: app passwords are made anew by their users",
        &below[0],
        &below[1],
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
        let allowance = Box::new(limits::unlimited(&domain_name("a.example")));
        let catch_all = Some(address("u@a.example"));
        let domain = HeldName::Domain { status, catch_all, allowance };
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
            administers: Vec::new(),
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

/// A dump of `PostfixAdmin`: a domain with these limits (aliases, mailboxes, quota of a mailbox and of
/// the domain), and three users with this quota in bytes.
fn limited(limits: &str, quota: i64) -> String {
    let hash = "{SHA512-CRYPT}$6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9\
                KiH9VIVNEjJGDiZ5w6GRN4wkote69WuBJ.";
    let users = ["u", "v", "w"].map(|user| format!("('{user}@a.example','{hash}','',{quota})"));
    format!(
        "INSERT INTO domain (domain, aliases, mailboxes, maxquota, quota) VALUES ('a.example',{limits});\n\
         INSERT INTO mailbox (username, password, maildir, quota) VALUES {};\n\
         INSERT INTO alias (address, goto) VALUES ('x@a.example','u@a.example');\n",
        users.join(",")
    )
}

/// A domain that is there, with these limits and nothing in it.
fn there(limits: DomainLimits) -> Existing {
    let mut allowance = limits::unlimited(&domain_name("a.example"));
    let DomainLimits { users, aliases, storage_bytes } = limits;
    allowance.limits.users = users.unwrap_or(Limit::Unlimited);
    allowance.limits.aliases = aliases.unwrap_or(Limit::Unlimited);
    allowance.limits.storage_bytes = storage_bytes.unwrap_or(Limit::Unlimited);
    let (status, catch_all, allowance) = (Status::Active, None, Box::new(allowance));
    let domain = HeldName::Domain { status, catch_all, allowance };
    Existing { names: [(domain_name("a.example"), domain)].into(), ..Existing::default() }
}

fn of(numbers: [Option<i64>; 3]) -> DomainLimits {
    let [users, aliases, storage_bytes] = numbers.map(|one| one.map(Limit::AtMost));
    DomainLimits { users, aliases, storage_bytes }
}

#[test]
fn limits_of_domains_are_those_that_mean_the_same() {
    const MIB: i64 = 1 << 20;
    let all = Some(Limit::Unlimited);
    let unlimited = DomainLimits { users: all, aliases: all, storage_bytes: all };
    for (limits, expected) in [
        ("10,20,0,30", Some(of([Some(20), Some(10), Some(30 * MIB)]))),
        ("0,3,0,0", Some(DomainLimits { users: Some(Limit::AtMost(3)), ..unlimited })),
        (
            "0,0,0,3",
            Some(DomainLimits { storage_bytes: Some(Limit::AtMost(3 * MIB)), ..unlimited }),
        ),
        ("0,0,0,0", None),
        ("0,0,0,-1", None),
        ("0,0,0,9223372036854775807", None),
    ] {
        let found = steps(Panel::PostfixAdmin, &limited(limits, MIB));
        assert_eq!(found.limits.first().map(|one| one.limits), expected, "{limits}");
        assert!(found.report.is_complete() && found.report.left_out.is_empty(), "{limits}");
        let count = found.report.counts.get(&Kind::Limits).map_or(0, |count| count.new);
        assert_eq!(count, u64::from(expected.is_some()), "{limits}");
    }
    // Not of whom has no quota, and not of single mailboxes.
    let found = steps(Panel::PostfixAdmin, &limited("0,5,7,30", 0));
    let expected = [
        "domain a.example: maxquota: a mailbox has at most 7340032 bytes there, and here its plan's",
        "domain a.example: quota: limits no domain here that has users without a quota: 3",
    ];
    assert_eq!(refused(&found.report.left_out), expected);
    let expected =
        DomainLimits { users: Some(Limit::AtMost(5)), aliases: all, storage_bytes: None };
    assert_eq!(found.limits[0].limits, expected);
    let plan = options(Quota::AtMost(7 * MIB));
    let dump = limited("0,5,7,30", MIB);
    let found = steps_of(Panel::PostfixAdmin, &dump, &plan, &Existing::default());
    assert!(found.report.left_out.is_empty(), "the plan is as small");
}

#[test]
fn limits_below_what_there_will_be_are_refused_one_by_one_unless_that_is_wanted() {
    let dump = limited("-1,2,0,2", 1 << 20);
    let found = steps(Panel::PostfixAdmin, &dump);
    let more = "--below-allocated sets it, and nothing more is given then";
    let expected = [
        format!("domain a.example: aliases: is a limit of 0 aliases, and there will be 1: {more}"),
        format!("domain a.example: mailboxes: is a limit of 2 users, and there will be 3: {more}"),
        format!(
            "domain a.example: quota: is a limit of 2097152 storage_bytes, and there will be \
             3145728: {more}"
        ),
    ];
    assert_eq!((refused(&found.report.refused), found.limits.len()), (expected.into(), 0));
    let found = steps(Panel::PostfixAdmin, &dump.replace("-1,2,0,2", "9,2,0,3"));
    let limits = of([None, Some(9), Some(3 << 20)]);
    assert_eq!((found.report.refused.len(), found.limits[0].limits), (1, limits));

    let wish = Options { below_allocated: true, ..options(Quota::Unlimited) };
    let found = steps_of(Panel::PostfixAdmin, &dump, &wish, &Existing::default());
    assert_eq!(
        (found.limits[0].limits, found.report.below),
        (of([Some(2), Some(0), Some(2 << 20)]), 3)
    );
    assert!(found.report.is_complete() && found.limits[0].below_allocated);
    // What is there already counts as well.
    let mut existing = there(DomainLimits::default());
    if let Some(HeldName::Domain { allowance, .. }) =
        existing.names.get_mut(&domain_name("a.example"))
    {
        allowance.allocated.users = 8;
    }
    let dump = limited("0,10,0,0", 1 << 20);
    let found = steps_of(Panel::PostfixAdmin, &dump, &options(Quota::Unlimited), &existing);
    assert!(found.report.refused[0].reason.contains("10 users, and there will be 11"));
}

#[test]
fn limits_that_are_there_stay_unless_they_are_to_be_changed() {
    let (dump, wish) = (limited("10,20,0,30", 1 << 20), options(Quota::Unlimited));
    let same = there(of([Some(20), Some(10), Some(30 << 20)]));
    let found = steps_of(Panel::PostfixAdmin, &dump, &wish, &same);
    assert_eq!((found.limits.len(), found.report.counts[&Kind::Limits].there), (0, 1));
    // Where a run was cut off, or some are missing.
    let some = there(of([None, Some(10), None]));
    let found = steps_of(Panel::PostfixAdmin, &dump, &wish, &some);
    assert_eq!((found.limits[0].kind, found.limits[0].wider), (Do::Add, DomainLimits::default()));
    let other = there(of([Some(5), Some(40), None]));
    let found = steps_of(Panel::PostfixAdmin, &dump, &wish, &other);
    let reason = "is there already with other limits (mailboxes, aliases): --update changes it";
    assert_eq!(refused(&found.report.refused), [format!("domain a.example: {reason}")]);
    let update = Options { update: true, ..wish };
    let found = steps_of(Panel::PostfixAdmin, &dump, &update, &other);
    let [step] = found.limits.as_slice() else { panic!("one step") };
    assert_eq!(step.kind, Do::Change);
    // More room comes first, and less last.
    assert_eq!(step.wider, of([Some(20), None, None]));
    let free = limited("0,0,0,0", 1 << 20);
    let found = steps_of(Panel::PostfixAdmin, &free, &update, &other);
    assert_eq!(found.limits[0].wider.users, Some(Limit::Unlimited));
}

#[test]
fn who_administers_a_domain_and_has_a_mailbox_is_appointed_on_request() {
    let dump = limited("0,0,0,0", 0)
        + "INSERT INTO admin (username, superadmin, active) VALUES ('u@a.example',0,1),\
           ('w@a.example',0,0),('chief@a.example',1,1),('boss@a.example',1,1);\n\
           INSERT INTO domain_admins (username, domain, active) VALUES ('U@a.example','a.example',1),\
           ('u@a.example','A.example',1),('v@a.example','a.example',0),('w@a.example','a.example',1),\
           ('v@a.example','other.example',1),('chief@a.example','ALL',1),('who@b.example','a.example',1),\
           ('somebody','a.example',1);\n";
    let found = steps(Panel::PostfixAdmin, &dump);
    assert!(found.administrators.is_empty() && found.report.is_complete());
    let of_all = "administers everything: add an operator (umail-api operator create)";
    let nobody = "administers the domain, and is no mailbox: appoint a user \
                  (POST /v1/users/{user}/role_assignments)";
    let one = "administers the domain: --administrators appoints whose mailbox it is";
    let always = [
        format!("admin boss@a.example: {of_all}"),
        format!("domain_admins chief@a.example ALL: {of_all}"),
        format!("domain_admins somebody a.example: {nobody}"),
        format!("domain_admins who@b.example a.example: {nobody}"),
    ];
    let on_request =
        ["U@a.example a.example", "u@a.example A.example", "v@a.example other.example"];
    let mut expected = on_request.map(|key| format!("domain_admins {key}: {one}")).to_vec();
    expected.extend(always.clone());
    expected.sort();
    assert_eq!(refused(&found.report.left_out), expected);

    let wish = Options { administrators: true, ..options(Quota::Unlimited) };
    let found = steps_of(Panel::PostfixAdmin, &dump, &wish, &Existing::default());
    let [step] = found.administrators.as_slice() else { panic!("once") };
    assert_eq!((&step.address, &step.domain), (&address("u@a.example"), &domain_name("a.example")));
    let reason = "domain: domain other.example is not taken over";
    let expected = [format!("domain_admins v@a.example other.example: {reason}")];
    assert_eq!(refused(&found.report.refused), expected);
    assert_eq!(refused(&found.report.left_out), always);
}
