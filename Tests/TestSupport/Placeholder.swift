// See PostgresFixture.
