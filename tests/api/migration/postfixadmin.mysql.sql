/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: pfa
-- ------------------------------------------------------
-- Server version	10.11.19-MariaDB-0+deb12u1

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;

--
-- Table structure for table `admin`
--

DROP TABLE IF EXISTS `admin`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `admin` (
  `username` varchar(255) NOT NULL,
  `password` varchar(255) NOT NULL,
  `superadmin` tinyint(1) NOT NULL DEFAULT 0,
  `created` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  `active` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`username`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `admin`
--

LOCK TABLES `admin` WRITE;
/*!40000 ALTER TABLE `admin` DISABLE KEYS */;
/*!40000 ALTER TABLE `admin` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `alias`
--

DROP TABLE IF EXISTS `alias`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `alias` (
  `address` varchar(255) NOT NULL,
  `goto` text NOT NULL,
  `domain` varchar(255) NOT NULL,
  `created` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  `modified` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  `active` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`address`),
  KEY `domain` (`domain`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `alias`
--

LOCK TABLES `alias` WRITE;
/*!40000 ALTER TABLE `alias` DISABLE KEYS */;
INSERT INTO `alias` VALUES
('@example.com','alice@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('@old.example','frank@old.example,alice@example.com','old.example','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('abuse@example.com','abuse@provider.example','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('abuse@example.net','abuse@provider.example','example.net','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('alice@example.com','alice@example.com,partner@elsewhere.example','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('all@example.com','m1@elsewhere.example,m2@elsewhere.example,m3@elsewhere.example,m4@elsewhere.example,m5@elsewhere.example,m6@elsewhere.example,m7@elsewhere.example,m8@elsewhere.example,m9@elsewhere.example,m10@elsewhere.example,m11@elsewhere.example,m12@elsewhere.example,m13@elsewhere.example,m14@elsewhere.example,m15@elsewhere.example,m16@elsewhere.example,m17@elsewhere.example,m18@elsewhere.example,m19@elsewhere.example,m20@elsewhere.example,m21@elsewhere.example,m22@elsewhere.example,m23@elsewhere.example,m24@elsewhere.example,m25@elsewhere.example,m26@elsewhere.example,m27@elsewhere.example,m28@elsewhere.example,m29@elsewhere.example,m30@elsewhere.example,m31@elsewhere.example,m32@elsewhere.example,m33@elsewhere.example,m34@elsewhere.example,m35@elsewhere.example,m36@elsewhere.example,m37@elsewhere.example,m38@elsewhere.example,m39@elsewhere.example,m40@elsewhere.example,m41@elsewhere.example,m42@elsewhere.example,m43@elsewhere.example,m44@elsewhere.example,m45@elsewhere.example,m46@elsewhere.example,m47@elsewhere.example,m48@elsewhere.example,m49@elsewhere.example,m50@elsewhere.example,m51@elsewhere.example,m52@elsewhere.example,m53@elsewhere.example,m54@elsewhere.example,m55@elsewhere.example,m56@elsewhere.example,m57@elsewhere.example,m58@elsewhere.example,m59@elsewhere.example,m60@elsewhere.example,m61@elsewhere.example,m62@elsewhere.example,m63@elsewhere.example,m64@elsewhere.example,m65@elsewhere.example,m66@elsewhere.example,m67@elsewhere.example,m68@elsewhere.example,m69@elsewhere.example,m70@elsewhere.example,m71@elsewhere.example,m72@elsewhere.example,m73@elsewhere.example,m74@elsewhere.example,m75@elsewhere.example,m76@elsewhere.example,m77@elsewhere.example,m78@elsewhere.example,m79@elsewhere.example,m80@elsewhere.example,m81@elsewhere.example,m82@elsewhere.example,m83@elsewhere.example,m84@elsewhere.example,m85@elsewhere.example,m86@elsewhere.example,m87@elsewhere.example,m88@elsewhere.example,m89@elsewhere.example,m90@elsewhere.example,m91@elsewhere.example,m92@elsewhere.example,m93@elsewhere.example,m94@elsewhere.example,m95@elsewhere.example,m96@elsewhere.example,m97@elsewhere.example,m98@elsewhere.example,m99@elsewhere.example,m100@elsewhere.example,m101@elsewhere.example','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('bob@example.com','bob@example.com,bob#example.com@autoreply.example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('carol@example.com','carol@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('chain@example.com','sales@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('dave@example.com','alice@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('disabled@example.com','alice@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',0),
('erin@büro.example','erin@büro.example','büro.example','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('info@example.com','ALICE@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('loop1@example.com','loop2@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('loop2@example.com','loop1@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('other@example.net','alice@example.com','example.net','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('pipe@example.com','|/usr/bin/procmail \'x\'','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('sales@example.com','alice@example.com, Bob@example.net','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('stale@example.com','gone@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('to-carol@example.com','carol@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('to-loop@example.com','alice@example.com,loop1@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1),
('toself@example.com','toself@example.com','example.com','2000-01-01 00:00:00','2000-01-01 00:00:00',1);
/*!40000 ALTER TABLE `alias` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `alias_domain`
--

DROP TABLE IF EXISTS `alias_domain`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `alias_domain` (
  `alias_domain` varchar(255) NOT NULL DEFAULT '',
  `target_domain` varchar(255) NOT NULL DEFAULT '',
  `created` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  `active` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`alias_domain`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `alias_domain`
--

LOCK TABLES `alias_domain` WRITE;
/*!40000 ALTER TABLE `alias_domain` DISABLE KEYS */;
INSERT INTO `alias_domain` VALUES
('example.net','example.com','2000-01-01 00:00:00',1),
('lost.example','backup.example','2000-01-01 00:00:00',1),
('off.example','example.com','2000-01-01 00:00:00',0);
/*!40000 ALTER TABLE `alias_domain` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `domain`
--

DROP TABLE IF EXISTS `domain`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `domain` (
  `domain` varchar(255) NOT NULL,
  `description` varchar(255) NOT NULL DEFAULT '',
  `aliases` int(10) NOT NULL DEFAULT 0,
  `mailboxes` int(10) NOT NULL DEFAULT 0,
  `maxquota` bigint(20) NOT NULL DEFAULT 0,
  `quota` bigint(20) NOT NULL DEFAULT 0,
  `transport` varchar(255) DEFAULT NULL,
  `backupmx` tinyint(1) NOT NULL DEFAULT 0,
  `created` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  `active` tinyint(1) NOT NULL DEFAULT 1,
  `password_expiry` int(11) DEFAULT 0,
  PRIMARY KEY (`domain`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `domain`
--

LOCK TABLES `domain` WRITE;
/*!40000 ALTER TABLE `domain` DISABLE KEYS */;
INSERT INTO `domain` VALUES
('ALL','',0,0,0,0,'',0,'2000-01-01 00:00:00',1,0),
('backup.example','',0,0,0,0,'virtual',1,'2000-01-01 00:00:00',1,0),
('BÜRO.example','Büro',0,0,0,0,'virtual',0,'2000-01-01 00:00:00',1,0),
('example.com','It\'s \"ours\"; DROP TABLE domain; --\n\0 end',0,0,0,0,'virtual',0,'2000-01-01 00:00:00',1,0),
('example.net','',0,0,0,0,'virtual',0,'2000-01-01 00:00:00',1,0),
('old.example','',0,0,0,0,'virtual',0,'2000-01-01 00:00:00',0,0),
('relayed.example','',0,0,0,0,'relay:[10.0.0.1]',0,'2000-01-01 00:00:00',1,0),
('under_score.example','',0,0,0,0,'virtual',0,'2000-01-01 00:00:00',1,0);
/*!40000 ALTER TABLE `domain` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `domain_admins`
--

DROP TABLE IF EXISTS `domain_admins`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `domain_admins` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `username` varchar(255) NOT NULL,
  `domain` varchar(255) NOT NULL,
  `created` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  `active` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `domain_admins`
--

LOCK TABLES `domain_admins` WRITE;
/*!40000 ALTER TABLE `domain_admins` DISABLE KEYS */;
INSERT INTO `domain_admins` VALUES
(1,'root@example.org','ALL','2000-01-01 00:00:00',1),
(2,'alice@example.com','example.com','2000-01-01 00:00:00',1);
/*!40000 ALTER TABLE `domain_admins` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `fetchmail`
--

DROP TABLE IF EXISTS `fetchmail`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `fetchmail` (
  `id` int(11) unsigned NOT NULL AUTO_INCREMENT,
  `domain` varchar(255) DEFAULT '',
  `mailbox` varchar(255) NOT NULL,
  `src_server` varchar(255) NOT NULL,
  `active` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `fetchmail`
--

LOCK TABLES `fetchmail` WRITE;
/*!40000 ALTER TABLE `fetchmail` DISABLE KEYS */;
INSERT INTO `fetchmail` VALUES
(1,'','alice@example.com','pop.example.org',1),
(2,'','bob@example.com','pop.example.org',0);
/*!40000 ALTER TABLE `fetchmail` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `log`
--

DROP TABLE IF EXISTS `log`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `log` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `username` varchar(255) NOT NULL DEFAULT '',
  `data` text NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `log`
--

LOCK TABLES `log` WRITE;
/*!40000 ALTER TABLE `log` DISABLE KEYS */;
INSERT INTO `log` VALUES
(1,'x','INSERT INTO `alias` VALUES (\'no\',\'no\',\'no\',1);\n\'');
/*!40000 ALTER TABLE `log` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `mailbox`
--

DROP TABLE IF EXISTS `mailbox`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `mailbox` (
  `username` varchar(255) NOT NULL,
  `password` varchar(255) NOT NULL,
  `name` varchar(255) NOT NULL DEFAULT '',
  `maildir` varchar(255) NOT NULL DEFAULT '',
  `quota` bigint(20) NOT NULL DEFAULT 0,
  `local_part` varchar(255) NOT NULL DEFAULT '',
  `domain` varchar(255) NOT NULL DEFAULT '',
  `created` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  `active` tinyint(1) NOT NULL DEFAULT 1,
  `smtp_active` tinyint(1) NOT NULL DEFAULT 1,
  `totp_secret` blob DEFAULT NULL,
  PRIMARY KEY (`username`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `mailbox`
--

LOCK TABLES `mailbox` WRITE;
/*!40000 ALTER TABLE `mailbox` DISABLE KEYS */;
INSERT INTO `mailbox` VALUES
('alice@example.com','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','Alice O\'Hara \"Al\" \\ Büro','',1048576000,'','example.com','2000-01-01 00:00:00',1,1,NULL),
('Bob@Example.COM','{SHA512-CRYPT}$6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9KiH9VIVNEjJGDiZ5w6GRN4wkote69WuBJ.','=HYPERLINK(\"http://x\")','',1048576000,'','example.com','2000-01-01 00:00:00',1,0,NULL),
('carol@example.com','$1$c9809462$M0zeLuOvixH61C2csGN.U0','Carol','',0,'','example.com','2000-01-01 00:00:00',1,1,NULL),
('dave@example.com','{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$z3uhiNCJ1r9ggjZp8hXVAA$EpJMR5CZvYJAYa+f7T2HeIAT4S5UP4EbGDVxE8y1Bt8','Dave','',5242880,'','example.com','2000-01-01 00:00:00',0,1,NULL),
('erin@büro.example','{PBKDF2}$1$Z7tbTjOAYukDjdG2$5000$090d46cc16a0dd73569ee692acc6eb2031e816ac','Erin\nnewline\0','',0,'','büro.example','2000-01-01 00:00:00',1,1,NULL),
('frank@old.example','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','Frank','',0,'','old.example','2000-01-01 00:00:00',1,1,NULL),
('ghost@nowhere.example','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','','',0,'','nowhere.example','2000-01-01 00:00:00',1,1,NULL),
('greedy@example.com','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','Greedy','',1099511627776,'','example.com','2000-01-01 00:00:00',1,1,NULL),
('jürgen@example.com','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','Jürgen','',0,'','example.com','2000-01-01 00:00:00',1,1,NULL),
('llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll@dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.example','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','','',0,'','','2000-01-01 00:00:00',1,1,NULL),
('no-at-sign','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','','',0,'','','2000-01-01 00:00:00',1,1,NULL),
('with+tag@example.com','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','Tag','',0,'','example.com','2000-01-01 00:00:00',1,1,NULL),
('x@backup.example','$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO','','',0,'','backup.example','2000-01-01 00:00:00',1,1,NULL);
/*!40000 ALTER TABLE `mailbox` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `vacation`
--

DROP TABLE IF EXISTS `vacation`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `vacation` (
  `email` varchar(255) NOT NULL,
  `subject` varchar(255) NOT NULL,
  `body` text NOT NULL,
  `active` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`email`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `vacation`
--

LOCK TABLES `vacation` WRITE;
/*!40000 ALTER TABLE `vacation` DISABLE KEYS */;
INSERT INTO `vacation` VALUES
('bob@example.com','Away; it\'s \\ so','Line\n\n\'--\n\0\Z',1);
/*!40000 ALTER TABLE `vacation` ENABLE KEYS */;
UNLOCK TABLES;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;

/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed on 2026-11-26 14:43:29
