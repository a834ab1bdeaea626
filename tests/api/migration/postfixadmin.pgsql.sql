--
-- PostgreSQL database dump
--

\restrict dhp60jf1Zz8i3A8uQs4lJeSnfNmff17WBOhmfOieoooHrTf71KPITfMBAIdbM9m

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: merge_quota(); Type: FUNCTION; Schema: public; Owner: umail
--

CREATE FUNCTION public.merge_quota() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO alias VALUES ('no', 'no', 'no'); RETURN NULL; END; $$;


ALTER FUNCTION public.merge_quota() OWNER TO umail;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: admin; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.admin (
    username character varying(255) NOT NULL,
    password character varying(255) DEFAULT ''::character varying NOT NULL,
    superadmin boolean DEFAULT false NOT NULL,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.admin OWNER TO umail;

--
-- Name: alias; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.alias (
    address character varying(255) NOT NULL,
    goto text NOT NULL,
    domain character varying(255) NOT NULL,
    created timestamp with time zone DEFAULT '2000-01-01 00:00:00+00'::timestamp with time zone,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.alias OWNER TO umail;

--
-- Name: alias_domain; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.alias_domain (
    alias_domain character varying(255) NOT NULL,
    target_domain character varying(255) NOT NULL,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.alias_domain OWNER TO umail;

--
-- Name: domain; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.domain (
    domain character varying(255) NOT NULL,
    description character varying(255) DEFAULT ''::character varying NOT NULL,
    aliases integer DEFAULT 0 NOT NULL,
    mailboxes integer DEFAULT 0 NOT NULL,
    maxquota bigint DEFAULT 0 NOT NULL,
    quota bigint DEFAULT 0 NOT NULL,
    transport character varying(255) DEFAULT NULL::character varying,
    backupmx boolean DEFAULT false NOT NULL,
    created timestamp with time zone DEFAULT '2000-01-01 00:00:00+00'::timestamp with time zone,
    active boolean DEFAULT true NOT NULL,
    password_expiry integer DEFAULT 0
);


ALTER TABLE public.domain OWNER TO umail;

--
-- Name: domain_admins; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.domain_admins (
    id integer NOT NULL,
    username character varying(255) NOT NULL,
    domain character varying(255) NOT NULL,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.domain_admins OWNER TO umail;

--
-- Name: domain_admins_id_seq; Type: SEQUENCE; Schema: public; Owner: umail
--

CREATE SEQUENCE public.domain_admins_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.domain_admins_id_seq OWNER TO umail;

--
-- Name: domain_admins_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: umail
--

ALTER SEQUENCE public.domain_admins_id_seq OWNED BY public.domain_admins.id;


--
-- Name: fetchmail; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.fetchmail (
    id integer NOT NULL,
    mailbox character varying(255) NOT NULL,
    src_server character varying(255) NOT NULL,
    active boolean DEFAULT false NOT NULL
);


ALTER TABLE public.fetchmail OWNER TO umail;

--
-- Name: fetchmail_id_seq; Type: SEQUENCE; Schema: public; Owner: umail
--

CREATE SEQUENCE public.fetchmail_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.fetchmail_id_seq OWNER TO umail;

--
-- Name: fetchmail_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: umail
--

ALTER SEQUENCE public.fetchmail_id_seq OWNED BY public.fetchmail.id;


--
-- Name: log; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.log (
    id integer NOT NULL,
    username character varying(255) DEFAULT ''::character varying NOT NULL,
    data text NOT NULL
);


ALTER TABLE public.log OWNER TO umail;

--
-- Name: log_id_seq; Type: SEQUENCE; Schema: public; Owner: umail
--

CREATE SEQUENCE public.log_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.log_id_seq OWNER TO umail;

--
-- Name: log_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: umail
--

ALTER SEQUENCE public.log_id_seq OWNED BY public.log.id;


--
-- Name: mailbox; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.mailbox (
    username character varying(255) NOT NULL,
    password character varying(255) DEFAULT ''::character varying NOT NULL,
    name character varying(255) DEFAULT ''::character varying NOT NULL,
    maildir character varying(255) DEFAULT ''::character varying NOT NULL,
    quota bigint DEFAULT 0 NOT NULL,
    created timestamp with time zone DEFAULT '2000-01-01 00:00:00+00'::timestamp with time zone,
    active boolean DEFAULT true NOT NULL,
    domain character varying(255),
    local_part character varying(255) DEFAULT ''::character varying NOT NULL,
    smtp_active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.mailbox OWNER TO umail;

--
-- Name: vacation; Type: TABLE; Schema: public; Owner: umail
--

CREATE TABLE public.vacation (
    email character varying(255) NOT NULL,
    subject character varying(255) NOT NULL,
    body text NOT NULL,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.vacation OWNER TO umail;

--
-- Name: domain_admins id; Type: DEFAULT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.domain_admins ALTER COLUMN id SET DEFAULT nextval('public.domain_admins_id_seq'::regclass);


--
-- Name: fetchmail id; Type: DEFAULT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.fetchmail ALTER COLUMN id SET DEFAULT nextval('public.fetchmail_id_seq'::regclass);


--
-- Name: log id; Type: DEFAULT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.log ALTER COLUMN id SET DEFAULT nextval('public.log_id_seq'::regclass);


--
-- Data for Name: admin; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.admin (username, password, superadmin, active) FROM stdin;
\.


--
-- Data for Name: alias; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.alias (address, goto, domain, created, active) FROM stdin;
alice@example.com	alice@example.com,partner@elsewhere.example	example.com	2000-01-01 00:00:00+00	t
bob@example.com	bob@example.com,bob#example.com@autoreply.example.com	example.com	2000-01-01 00:00:00+00	t
carol@example.com	carol@example.com	example.com	2000-01-01 00:00:00+00	t
dave@example.com	alice@example.com	example.com	2000-01-01 00:00:00+00	t
erin@büro.example	erin@büro.example	büro.example	2000-01-01 00:00:00+00	t
sales@example.com	alice@example.com, Bob@example.net	example.com	2000-01-01 00:00:00+00	t
info@example.com	ALICE@example.com	example.com	2000-01-01 00:00:00+00	t
@example.com	alice@example.com	example.com	2000-01-01 00:00:00+00	t
@old.example	frank@old.example,alice@example.com	old.example	2000-01-01 00:00:00+00	t
loop1@example.com	loop2@example.com	example.com	2000-01-01 00:00:00+00	t
loop2@example.com	loop1@example.com	example.com	2000-01-01 00:00:00+00	t
to-loop@example.com	alice@example.com,loop1@example.com	example.com	2000-01-01 00:00:00+00	t
chain@example.com	sales@example.com	example.com	2000-01-01 00:00:00+00	t
disabled@example.com	alice@example.com	example.com	2000-01-01 00:00:00+00	f
to-carol@example.com	carol@example.com	example.com	2000-01-01 00:00:00+00	t
pipe@example.com	|/usr/bin/procmail 'x'	example.com	2000-01-01 00:00:00+00	t
abuse@example.com	abuse@provider.example	example.com	2000-01-01 00:00:00+00	t
abuse@example.net	abuse@provider.example	example.net	2000-01-01 00:00:00+00	t
other@example.net	alice@example.com	example.net	2000-01-01 00:00:00+00	t
all@example.com	m1@elsewhere.example,m2@elsewhere.example,m3@elsewhere.example,m4@elsewhere.example,m5@elsewhere.example,m6@elsewhere.example,m7@elsewhere.example,m8@elsewhere.example,m9@elsewhere.example,m10@elsewhere.example,m11@elsewhere.example,m12@elsewhere.example,m13@elsewhere.example,m14@elsewhere.example,m15@elsewhere.example,m16@elsewhere.example,m17@elsewhere.example,m18@elsewhere.example,m19@elsewhere.example,m20@elsewhere.example,m21@elsewhere.example,m22@elsewhere.example,m23@elsewhere.example,m24@elsewhere.example,m25@elsewhere.example,m26@elsewhere.example,m27@elsewhere.example,m28@elsewhere.example,m29@elsewhere.example,m30@elsewhere.example,m31@elsewhere.example,m32@elsewhere.example,m33@elsewhere.example,m34@elsewhere.example,m35@elsewhere.example,m36@elsewhere.example,m37@elsewhere.example,m38@elsewhere.example,m39@elsewhere.example,m40@elsewhere.example,m41@elsewhere.example,m42@elsewhere.example,m43@elsewhere.example,m44@elsewhere.example,m45@elsewhere.example,m46@elsewhere.example,m47@elsewhere.example,m48@elsewhere.example,m49@elsewhere.example,m50@elsewhere.example,m51@elsewhere.example,m52@elsewhere.example,m53@elsewhere.example,m54@elsewhere.example,m55@elsewhere.example,m56@elsewhere.example,m57@elsewhere.example,m58@elsewhere.example,m59@elsewhere.example,m60@elsewhere.example,m61@elsewhere.example,m62@elsewhere.example,m63@elsewhere.example,m64@elsewhere.example,m65@elsewhere.example,m66@elsewhere.example,m67@elsewhere.example,m68@elsewhere.example,m69@elsewhere.example,m70@elsewhere.example,m71@elsewhere.example,m72@elsewhere.example,m73@elsewhere.example,m74@elsewhere.example,m75@elsewhere.example,m76@elsewhere.example,m77@elsewhere.example,m78@elsewhere.example,m79@elsewhere.example,m80@elsewhere.example,m81@elsewhere.example,m82@elsewhere.example,m83@elsewhere.example,m84@elsewhere.example,m85@elsewhere.example,m86@elsewhere.example,m87@elsewhere.example,m88@elsewhere.example,m89@elsewhere.example,m90@elsewhere.example,m91@elsewhere.example,m92@elsewhere.example,m93@elsewhere.example,m94@elsewhere.example,m95@elsewhere.example,m96@elsewhere.example,m97@elsewhere.example,m98@elsewhere.example,m99@elsewhere.example,m100@elsewhere.example,m101@elsewhere.example	example.com	2000-01-01 00:00:00+00	t
toself@example.com	toself@example.com	example.com	2000-01-01 00:00:00+00	t
stale@example.com	gone@example.com	example.com	2000-01-01 00:00:00+00	t
\.


--
-- Data for Name: alias_domain; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.alias_domain (alias_domain, target_domain, active) FROM stdin;
example.net	example.com	t
off.example	example.com	f
lost.example	backup.example	t
\.


--
-- Data for Name: domain; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.domain (domain, description, aliases, mailboxes, maxquota, quota, transport, backupmx, created, active, password_expiry) FROM stdin;
ALL		0	0	0	0		f	2000-01-01 00:00:00+00	t	0
example.com	It's "ours"; DROP TABLE domain; --\n end	0	0	0	0	virtual	f	2000-01-01 00:00:00+00	t	0
example.net		0	0	0	0	virtual	f	2000-01-01 00:00:00+00	t	0
BÜRO.example	Büro	0	0	0	0	virtual	f	2000-01-01 00:00:00+00	t	0
old.example		0	0	0	0	virtual	f	2000-01-01 00:00:00+00	f	0
backup.example		0	0	0	0	virtual	t	2000-01-01 00:00:00+00	t	0
relayed.example		0	0	0	0	relay:[10.0.0.1]	f	2000-01-01 00:00:00+00	t	0
under_score.example		0	0	0	0	virtual	f	2000-01-01 00:00:00+00	t	0
\.


--
-- Data for Name: domain_admins; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.domain_admins (id, username, domain, active) FROM stdin;
1	root@example.org	ALL	t
2	alice@example.com	example.com	t
\.


--
-- Data for Name: fetchmail; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.fetchmail (id, mailbox, src_server, active) FROM stdin;
1	alice@example.com	pop.example.org	t
2	bob@example.com	pop.example.org	f
\.


--
-- Data for Name: log; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.log (id, username, data) FROM stdin;
1	x	INSERT INTO alias VALUES ('no','no','no',1);\n'
\.


--
-- Data for Name: mailbox; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.mailbox (username, password, name, maildir, quota, created, active, domain, local_part, smtp_active) FROM stdin;
alice@example.com	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO	Alice O'Hara "Al" \\ Büro		1048576000	2000-01-01 00:00:00+00	t	example.com		t
Bob@Example.COM	{SHA512-CRYPT}$6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9KiH9VIVNEjJGDiZ5w6GRN4wkote69WuBJ.	=HYPERLINK("http://x")		1048576000	2000-01-01 00:00:00+00	t	example.com		f
carol@example.com	$1$c9809462$M0zeLuOvixH61C2csGN.U0	Carol		0	2000-01-01 00:00:00+00	t	example.com		t
dave@example.com	{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$z3uhiNCJ1r9ggjZp8hXVAA$EpJMR5CZvYJAYa+f7T2HeIAT4S5UP4EbGDVxE8y1Bt8	Dave		5242880	2000-01-01 00:00:00+00	f	example.com		t
erin@büro.example	{PBKDF2}$1$Z7tbTjOAYukDjdG2$5000$090d46cc16a0dd73569ee692acc6eb2031e816ac	Erin\nnewline		0	2000-01-01 00:00:00+00	t	büro.example		t
frank@old.example	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO	Frank		0	2000-01-01 00:00:00+00	t	old.example		t
greedy@example.com	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO	Greedy		1099511627776	2000-01-01 00:00:00+00	t	example.com		t
with+tag@example.com	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO	Tag		0	2000-01-01 00:00:00+00	t	example.com		t
jürgen@example.com	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO	Jürgen		0	2000-01-01 00:00:00+00	t	example.com		t
no-at-sign	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO			0	2000-01-01 00:00:00+00	t			t
llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll@dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.example	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO			0	2000-01-01 00:00:00+00	t			t
ghost@nowhere.example	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO			0	2000-01-01 00:00:00+00	t	nowhere.example		t
x@backup.example	$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO			0	2000-01-01 00:00:00+00	t	backup.example		t
\.


--
-- Data for Name: vacation; Type: TABLE DATA; Schema: public; Owner: umail
--

COPY public.vacation (email, subject, body, active) FROM stdin;
bob@example.com	Away; it's \\ so	Line\n\n'--\n	t
\.


--
-- Name: domain_admins_id_seq; Type: SEQUENCE SET; Schema: public; Owner: umail
--

SELECT pg_catalog.setval('public.domain_admins_id_seq', 2, true);


--
-- Name: fetchmail_id_seq; Type: SEQUENCE SET; Schema: public; Owner: umail
--

SELECT pg_catalog.setval('public.fetchmail_id_seq', 2, true);


--
-- Name: log_id_seq; Type: SEQUENCE SET; Schema: public; Owner: umail
--

SELECT pg_catalog.setval('public.log_id_seq', 1, true);


--
-- Name: admin admin_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.admin
    ADD CONSTRAINT admin_pkey PRIMARY KEY (username);


--
-- Name: alias_domain alias_domain_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.alias_domain
    ADD CONSTRAINT alias_domain_pkey PRIMARY KEY (alias_domain);


--
-- Name: alias alias_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.alias
    ADD CONSTRAINT alias_pkey PRIMARY KEY (address);


--
-- Name: domain_admins domain_admins_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.domain_admins
    ADD CONSTRAINT domain_admins_pkey PRIMARY KEY (id);


--
-- Name: domain domain_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.domain
    ADD CONSTRAINT domain_pkey PRIMARY KEY (domain);


--
-- Name: fetchmail fetchmail_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.fetchmail
    ADD CONSTRAINT fetchmail_pkey PRIMARY KEY (id);


--
-- Name: log log_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.log
    ADD CONSTRAINT log_pkey PRIMARY KEY (id);


--
-- Name: mailbox mailbox_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.mailbox
    ADD CONSTRAINT mailbox_pkey PRIMARY KEY (username);


--
-- Name: vacation vacation_pkey; Type: CONSTRAINT; Schema: public; Owner: umail
--

ALTER TABLE ONLY public.vacation
    ADD CONSTRAINT vacation_pkey PRIMARY KEY (email);


--
-- PostgreSQL database dump complete
--

\unrestrict dhp60jf1Zz8i3A8uQs4lJeSnfNmff17WBOhmfOieoooHrTf71KPITfMBAIdbM9m

