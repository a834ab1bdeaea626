//! Bodies of the REST API, shared by the server, its clients and the tests.
