/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format of the database: its tables and indexes, numbered by versions from 1 on. The number is PRAGMA user_version.
 *
 *      newer than ours  refused before anything is written: FAILED_PRECONDITION
 *      ours             opened
 *      older            checked, then upgraded version by version, all in one transaction: after a crash the database has the
 *                       old version or the new one
 *
 * A new version is one row in sqlite_schema.c.
 */
#ifndef STORE_SQLITE_SQLITE_SCHEMA_H
#define STORE_SQLITE_SQLITE_SCHEMA_H

#include "store/sqlite/sqlite.h"

/* A version. Lists end with NULL. */
struct sqlite_version {
        const char *const *objects; /* the SQL of every table and index, as SQLite keeps it in sqlite_schema */
        const char *const *upgrade; /* makes this version from the one before; NULL for the first */
};

/* Versions that a test adds behind those of the release; NULL behind the last. A program has no such function. */
const struct sqlite_version *sqlite_schema_test_version(int number);

/* The version that this program writes. */
int sqlite_schema_newest(void);

/* Creates tables and identity in an empty database. */
struct error *sqlite_schema_create(struct sqlite_store *s) MUST_USE;

/* DATA_LOSS: the database of another program; FAILED_PRECONDITION: a newer version wrote it. Only reads. */
struct error *sqlite_schema_version(struct sqlite_store *s, int *ret) MUST_USE;

/* Tables and indexes must match the version exactly: in a modified schema a query could have another meaning. DATA_LOSS. */
struct error *sqlite_schema_check(struct sqlite_store *s, int version) MUST_USE;

/* Upgrades a checked database to the newest version; does nothing if it has it. RESOURCE_EXHAUSTED: the disk is full. */
struct error *sqlite_schema_upgrade(struct sqlite_store *s, int version) MUST_USE;

/* The same in the open transaction of the caller, who decides whether it is committed. */
struct error *sqlite_schema_upgrade_in(struct sqlite_store *s, int version) MUST_USE;

#endif
