/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite/sqlite_schema.h"

#include <sys/random.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"

enum { APPLICATION_ID = 0x63746c70 }; /* "ctlp" in the file's header: identifies the file to file(1) and to us */

/*
 * Items are stored in the order of their creation and are found through item_key: a batch of new hosts, whose
 * keys are random, fills a few pages instead of splitting one page each. The price, an index that could disagree
 * with its table, is paid by check_items(). Short-lived items have IDs of their own (BRIEF_IDS), above
 * all others, so that their deletion frees whole pages. item_expires is used only by
 * the purge; whether an item has expired is decided from the item.
 */
static const char *const objects_1[] = {
        ("CREATE TABLE item (id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,"
         " expires INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT"),
        "CREATE UNIQUE INDEX item_key ON item (key)",
        "CREATE INDEX item_expires ON item (expires) WHERE expires > 0",
        ("CREATE TABLE cluster (one INTEGER PRIMARY KEY CHECK (one = 1), identity BLOB NOT NULL,"
         " revision INTEGER NOT NULL) STRICT"),
        NULL,
};

/* Version N is row N - 1. */
static const struct sqlite_version versions[] = {
        { objects_1, NULL },
};

WEAK const struct sqlite_version *sqlite_schema_test_version(int number)
{
        (void)number;
        return NULL;
}

static const struct sqlite_version *version_row(int number)
{
        return number <= (int)ARRAY_LEN(versions) ? &versions[number - 1] : sqlite_schema_test_version(number);
}

int sqlite_schema_newest(void)
{
        int number = (int)ARRAY_LEN(versions);

        while (version_row(number + 1) != NULL)
                number++;
        return number;
}

/* ---- creating ------------------------------------------------------------------------------------ */

static struct error *execute_all(struct sqlite_store *s, const char *const *sql)
{
        for (; *sql != NULL; sql++)
                TRY(sqlite_store_execute(s, *sql));
        return NULL;
}

static struct error *set_version(struct sqlite_store *s, int version)
{
        AUTO_MEM char *sql = mem_printf("PRAGMA user_version = %d", version);

        return sqlite_store_execute(s, sql);
}

static struct error *insert_identity(struct sqlite_store *s)
{
        sqlite3_stmt *insert = NULL;
        uint8_t identity[STORE_IDENTITY_SIZE];

        if (getrandom(identity, sizeof identity, 0) != (ssize_t)sizeof identity)
                bug("no random numbers");
        TRY(sqlite_store_compile(s, "INSERT INTO cluster VALUES (1, ?1, 0)", &insert));
        sqlite()->bind_blob(insert, 1, identity, sizeof identity, SQLITE_STATIC);
        int code = sqlite()->step(insert);
        sqlite()->finalize(insert);
        return code == SQLITE_DONE ? NULL : sqlite_store_error(s, code);
}

struct error *sqlite_schema_create(struct sqlite_store *s)
{
        AUTO_MEM char *header = mem_printf("PRAGMA application_id = %d", APPLICATION_ID);

        TRY(sqlite_store_execute(s, "BEGIN IMMEDIATE"));
        TRY(sqlite_store_execute(s, header));
        TRY(set_version(s, sqlite_schema_newest()));
        TRY(execute_all(s, version_row(sqlite_schema_newest())->objects));
        TRY(insert_identity(s));
        return sqlite_store_execute(s, "COMMIT");
}

/* ---- checking ------------------------------------------------------------------------------------ */

struct error *sqlite_schema_version(struct sqlite_store *s, int *ret)
{
        int64_t id = 0, version = 0;

        TRY(sqlite_store_number(s, "PRAGMA application_id", &id));
        TRY(sqlite_store_number(s, "PRAGMA user_version", &version));
        if (id != APPLICATION_ID || version < 1)
                return error_new(ERROR_DATA_LOSS, "the database in '%s' is not one of ours", s->shown);
        if (version > sqlite_schema_newest())
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the database in '%s' was written by a newer version of teleport: it has format %lld, and this "
                                            "version knows formats up to %d",
                                            s->shown, (long long)version, sqlite_schema_newest()),
                                  "nothing was changed; install the version that wrote it, or a newer one, or restore a backup of this "
                                  "version into an empty data directory: teleport restore");
        *ret = (int)version;
        return NULL;
}

struct error *sqlite_schema_check(struct sqlite_store *s, int version)
{
        const char *const *objects = version_row(version)->objects;
        sqlite3_stmt *q = NULL;
        int64_t all = 0, ours = 0, expected = 0;

        TRY(sqlite_store_number(s, "SELECT count(*) FROM sqlite_schema", &all));
        TRY(sqlite_store_compile(s, "SELECT count(*) FROM sqlite_schema WHERE sql = ?1", &q));
        for (; objects[expected] != NULL; expected++) {
                sqlite()->reset(q);
                sqlite()->bind_text(q, 1, objects[expected], -1, SQLITE_STATIC);
                if (sqlite()->step(q) == SQLITE_ROW)
                        ours += sqlite()->column_int64(q, 0);
        }
        sqlite()->finalize(q);
        if (all != expected || ours != all)
                return error_new(ERROR_DATA_LOSS, "the tables of the database in '%s' are not the expected ones", s->shown);
        return NULL;
}

/* ---- upgrading ----------------------------------------------------------------------------------- */

static struct error *upgrade_in(struct sqlite_store *s, int from, int to)
{
        for (int number = from + 1; number <= to; number++)
                TRY(execute_all(s, version_row(number)->upgrade));
        TRY(set_version(s, to));
        return sqlite_schema_check(s, to);
}

static struct error *with_formats(const struct sqlite_store *s, struct error *err, int from, int to)
{
        return err == NULL ? NULL : error_wrap(err, "the database in '%s' cannot be upgraded from format %d to %d", s->shown, from, to);
}

struct error *sqlite_schema_upgrade_in(struct sqlite_store *s, int version)
{
        int newest = sqlite_schema_newest();

        return with_formats(s, upgrade_in(s, version, newest), version, newest);
}

/* In one transaction, with the new number: a crash or a full disk leaves the old version. */
static struct error *upgrade(struct sqlite_store *s, int from, int to)
{
        TRY(sqlite_store_execute(s, "BEGIN IMMEDIATE"));
        TRY(upgrade_in(s, from, to));
        return sqlite_store_execute(s, "COMMIT");
}

struct error *sqlite_schema_upgrade(struct sqlite_store *s, int version)
{
        int newest = sqlite_schema_newest();

        if (version == newest)
                return NULL;
        TRY(with_formats(s, upgrade(s, version, newest), version, newest));
        log_info("The store was upgraded", LOG_INT("from_format", version), LOG_INT("to_format", newest));
        return NULL;
}
