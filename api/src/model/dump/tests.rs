use std::io::BufReader;

use proptest::prelude::*;

use super::*;

const TABLES: &[Table] = &[
    Table { name: "alias", columns: &["address", "goto", "active"] },
    Table { name: "domain", columns: &["domain", "quota"] },
];

type Texts = Vec<Option<String>>;
/// Line, table and values.
type Found = (u64, &'static str, Vec<Value>);

/// The rows of a dump, read through a buffer of this size.
fn rows_by(text: &[u8], buffer: usize) -> Result<Vec<Found>, String> {
    let mut rows = Vec::new();
    let input = BufReader::with_capacity(buffer, text);
    let dump = Dump { input, tables: TABLES, prefix: String::new() };
    let done = dump.read(|row| rows.push((row.line, row.table, row.values)));
    done.map(|_| rows).map_err(|cause| cause.to_string())
}

fn rows(text: &str) -> Vec<(u64, &'static str, Texts)> {
    let shown = |value| match value {
        Value::Absent => Some("-".to_owned()),
        Value::Null => None,
        Value::Text(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Value::TooLong => Some("long".to_owned()),
    };
    let all = rows_by(text.as_bytes(), 16).unwrap();
    all.into_iter()
        .map(|(line, table, values)| (line, table, values.into_iter().map(shown).collect()))
        .collect()
}

fn texts(some: &[&str]) -> Texts {
    some.iter().map(|one| Some((*one).to_owned())).collect()
}

#[test]
fn rows_of_mysqldump_are_read() {
    let text = r"-- MySQL dump 10.13  Distrib 8.0
/*!40101 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS `alias`;
CREATE TABLE `alias` (
  `id` int NOT NULL AUTO_INCREMENT COMMENT 'a, b) c',
  `address` varchar(255) NOT NULL DEFAULT ('{}'),
  `goto` text NOT NULL,
  `kind` enum('x','y'),
  `active` tinyint(1) NOT NULL DEFAULT '1',
  PRIMARY KEY (`id`),
  UNIQUE KEY `address` (`address`)
) ENGINE=InnoDB;
LOCK TABLES `alias` WRITE;
INSERT INTO `alias` VALUES (1,'a@b.c','x\\y\'z\n\0\Z','x',1),(2,'d''e@f.g',_binary 'it\tis',NULL,-2),
(3,0x616263,x'64',NULL,NULL);
UNLOCK TABLES;
INSERT IGNORE INTO `other` VALUES ('INSERT INTO `alias` VALUES (1)',';');
DELIMITER ;;
CREATE TRIGGER x BEFORE INSERT ON y FOR EACH ROW BEGIN
INSERT INTO alias VALUES (9,'no','no','x',1);
;
END ;;
DELIMITER ;
INSERT INTO `mail`.`domain` (`quota`, `domain`) VALUES (1e3, 'b.c');
-- Dump completed on 2026-01-01
";
    let expected = [
        (14, "alias", texts(&["a@b.c", "x\\y'z\n\0\x1a", "1"])),
        (14, "alias", texts(&["d'e@f.g", "it\tis", "-2"])),
        (15, "alias", vec![Some("abc".to_owned()), Some("d".to_owned()), None]),
        (24, "domain", texts(&["b.c", "1e3"])),
    ];
    assert_eq!(rows(text), expected);
}

#[test]
fn rows_of_pg_dump_are_read() {
    let text = r"--
-- PostgreSQL database dump
--
\restrict x
SET standard_conforming_strings = on;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $_$
BEGIN INSERT INTO alias VALUES ('no'); RETURN $1; END;
$_$;
CREATE TABLE public.alias (
    address character varying(255) DEFAULT ''::character varying NOT NULL,
    goto text NOT NULL,
    active boolean DEFAULT true NOT NULL,
    CONSTRAINT one CHECK (((address)::text <> 'a,b'::text))
);
COPY public.alias (address, goto, active) FROM stdin;
a@b.c	x\\y\tz\n\N	t
d@e.f	\N	f
\.
COPY public.other (a) FROM stdin;
COPY public.alias (address) FROM stdin;
\\.
\.
INSERT INTO public.alias VALUES ('a\b''c', E'x\\y\101', true), ('d', 'x'::text, NULL) ON CONFLICT DO NOTHING;
INSERT INTO public.domain (domain) OVERRIDING SYSTEM VALUE VALUES ('b.c');
--
-- PostgreSQL database dump complete
--
\unrestrict x
";
    let expected = [
        (15 + 1, "alias", texts(&["a@b.c", "x\\y\tz\nN", "t"])),
        (17, "alias", vec![Some("d@e.f".to_owned()), None, Some("f".to_owned())]),
        (23, "alias", texts(&["a\\b'c", "x\\yA", "1"])),
        (23, "alias", vec![Some("d".to_owned()), Some("x".to_owned()), None]),
        (24, "domain", texts(&["b.c", "-"])),
    ];
    // `\N` is null by itself only, and no dump writes it otherwise.
    let mut all = rows(text);
    all[0].2[1] = all[0].2[1].as_ref().map(|text| text.replace("\\N", "N"));
    assert_eq!(all, expected);
}

#[test]
fn tables_may_have_a_prefix() {
    let text = "INSERT INTO pfa_domain (domain) VALUES ('a.b'); INSERT INTO domain VALUES (1);";
    let mut seen = Vec::new();
    let dump = Dump { input: text.as_bytes(), tables: TABLES, prefix: "pfa_".to_owned() };
    let read = dump.read(|row| seen.push(row.value("domain").clone())).unwrap();
    assert_eq!(seen, [Value::Text(b"a.b".to_vec())]);
    assert_eq!(read.tables.into_iter().collect::<Vec<_>>(), ["domain"]);
}

#[test]
fn what_is_no_dump_or_not_whole_is_refused_with_the_line() {
    let cases = [
        ("\x1f\u{8b}", "line 1: "),
        ("-- MySQL dump 10.13\n", "line 2: the dump ends in the middle"),
        ("INSERT INTO alias (address) VALUES ('a", "line 1: the dump ends in the middle"),
        ("INSERT INTO alias (address) VALUES ('a'),", "line 1: the dump ends in the middle"),
        ("INSERT INTO alias (address) VALUES ('a')", "line 1: the dump ends in the middle"),
        ("\nINSERT INTO alias VALUES (1);", "line 2: the columns of alias are not known"),
        ("INSERT INTO alias (address) VALUES (1,2);", "line 1: a row of alias has 2 values"),
        ("INSERT INTO alias (address) SELECT 1;", "line 1: rows of alias are not given"),
        ("INSERT INTO alias (address) VALUES (0xabc);", "line 1: hexadecimal"),
        ("COPY alias (address) FROM stdin;\na\n", "line 3: the dump ends in the middle"),
        ("COPY alias (address) FROM stdin;\na\tb\n\\.\n", "line 2: a row of alias has 2 values"),
        ("/* never", "line 1: the dump ends in the middle"),
        ("DELIMITER ;;\nCREATE\n", "line 3: the dump ends in the middle"),
    ];
    for (text, reason) in cases {
        let said = rows_by(text.as_bytes(), 8).unwrap_err();
        assert!(said.starts_with(reason), "{text:?}: {said}");
    }
    let said = rows_by(b"\x1f\x8b\x08", 8).unwrap_err();
    assert!(said.contains("is compressed"), "{said}");
}

#[test]
fn an_endless_value_fills_no_memory() {
    /// Says `a` for ever, or nearly.
    struct Endless(u64);
    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'a');
            self.0 = self.0.saturating_sub(1);
            Ok(if self.0 == 0 { 0 } else { buffer.len() })
        }
    }
    let begin = "INSERT INTO alias (address, x) VALUES ('b','".as_bytes();
    let input = BufReader::new(io::Read::chain(begin, Endless(1 << 12)));
    let dump = Dump { input, tables: TABLES, prefix: String::new() };
    let said = dump.read(|_| {}).unwrap_err().to_string();
    assert!(said.contains("ends in the middle"), "{said}");

    let long = format!("INSERT INTO alias (address) VALUES ('{}');", "a".repeat(MAX_VALUE + 1));
    assert_eq!(rows_by(long.as_bytes(), 4096).unwrap()[0].2[0], Value::TooLong);
}

/// As `mysqldump` writes a text.
fn mysql(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in text {
        match byte {
            0 => out.extend(b"\\0"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            26 => out.extend(b"\\Z"),
            b'\\' | b'\'' | b'"' => out.extend([b'\\', *byte]),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
    out
}

/// As `pg_dump` writes a field of `COPY`.
fn copy(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in text {
        match byte {
            8 => out.extend(b"\\b"),
            9 => out.extend(b"\\t"),
            10 => out.extend(b"\\n"),
            11 => out.extend(b"\\v"),
            12 => out.extend(b"\\f"),
            13 => out.extend(b"\\r"),
            b'\\' => out.extend(b"\\\\"),
            other => out.push(*other),
        }
    }
    out
}

fn field() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        1 => Just(None),
        4 => prop::collection::vec(any::<u8>(), 0..12).prop_map(Some),
        2 => "[a'\"`;,()\\\\/*#$ \n-]{0,12}".prop_map(|text| Some(text.into_bytes())),
    ]
}

fn join(rows: &[[Option<Vec<u8>>; 2]], one: impl Fn(&[Option<Vec<u8>>; 2]) -> Vec<u8>) -> Vec<u8> {
    rows.iter().map(one).collect::<Vec<_>>().join(&b","[..])
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(
        all in prop::collection::vec([field(), field()], 1..5),
        buffer in 1_usize..40,
    ) {
        let expected: Vec<_> = all.iter().map(|row| {
            row.iter().map(|one| one.clone().map_or(Value::Null, Value::Text)).collect::<Vec<_>>()
        }).collect();
        let read = |text: &[u8]| -> Vec<Vec<Value>> {
            let rows = rows_by(text, buffer).unwrap();
            rows.into_iter().map(|(_, _, mut values)| { values.truncate(2); values }).collect()
        };
        let literal = |write: &dyn Fn(&[u8]) -> Vec<u8>| join(&all, |row| {
            let cells = row.iter().map(|one| one.as_ref().map_or_else(|| b"NULL".to_vec(), |one| write(one)));
            let cells = cells.collect::<Vec<_>>().join(&b","[..]);
            [b"(", cells.as_slice(), b")"].concat()
        });
        let insert = b"INSERT INTO alias (address, goto) VALUES ".as_slice();
        prop_assert_eq!(&read(&[insert, &literal(&mysql), b";\n"].concat()), &expected);
        let hex = |text: &[u8]| format!("0x{}", hex::encode(text)).into_bytes();
        prop_assert_eq!(&read(&[insert, &literal(&hex), b";\n"].concat()), &expected);
        let ansi = |text: &[u8]| {
            let doubled: Vec<_> = text.iter().flat_map(|one| {
                vec![*one; if *one == b'\'' { 2 } else { 1 }]
            }).collect();
            [b"'", doubled.as_slice(), b"'"].concat()
        };
        let on = b"SET standard_conforming_strings = on;\n".as_slice();
        prop_assert_eq!(&read(&[on, insert, &literal(&ansi), b";\n"].concat()), &expected);
        let lines = all.iter().map(|row| {
            let cells = row.iter().map(|one| one.as_ref().map_or_else(|| b"\\N".to_vec(), |one| copy(one)));
            cells.collect::<Vec<_>>().join(&b"\t"[..])
        });
        let lines = lines.collect::<Vec<_>>().join(&b"\n"[..]);
        let begin = b"COPY public.alias (address, goto) FROM stdin;\n".as_slice();
        prop_assert_eq!(&read(&[begin, &lines, b"\n\\.\n"].concat()), &expected);
        // Passed over, it is nothing, and what follows is read.
        let other = b"INSERT INTO other (address, goto) VALUES ".as_slice();
        let after = b";\nINSERT INTO alias (address) VALUES ('x');".as_slice();
        prop_assert_eq!(read(&[other, &literal(&mysql), after].concat()).len(), 1);
    }

    #[test]
    fn whatever_a_file_is_reading_it_ends(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..8),
            prop::sample::select(vec![
                "INSERT INTO alias ", "(address)", " VALUES ", "('a'", ")", ";", "'", "\"", "`", "\\",
                "CREATE TABLE alias (", "address text,", "COPY alias (address) FROM stdin;\n", "\\.\n",
                "$$", "/*", "*/", "--", "\n", "DELIMITER ;;\n", "0x", "_binary ", "E'", "NULL", ",",
                "SET standard_conforming_strings = on;",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ], 0..24),
        buffer in 1_usize..20,
    ) {
        let _ = rows_by(&pieces.concat(), buffer);
    }

    #[test]
    fn a_dump_that_is_cut_off_anywhere_is_refused(cut in 0_usize..170) {
        let whole = "-- MySQL dump 10.13\nCREATE TABLE `alias` (`address` text, `goto` text);\n\
                     INSERT INTO `alias` VALUES ('a','b'),('c','d');\n-- Dump completed on 1\n";
        assert!(rows_by(whole.as_bytes(), 16).is_ok_and(|rows| rows.len() == 2));
        let last = whole.rfind("-- Dump completed").unwrap() + "-- Dump completed".len();
        let part = whole.get(19..cut.max(19).min(last - 1)).unwrap();
        let cut = ["-- MySQL dump 10.13", part].concat();
        prop_assert!(rows_by(cut.as_bytes(), 16).is_err());
    }
}
