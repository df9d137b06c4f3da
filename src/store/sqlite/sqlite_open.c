/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the SQLite database: every start uses the same code as a start after a crash. The database is
 * checked completely, page by page and item by item, before any of its content is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "store/sqlite/sqlite.h"
#include "store/sqlite/sqlite_schema.h"

enum { VACUUM_INCREMENTAL = 2 }; /* its value in PRAGMA auto_vacuum */

/* First ID of short-lived items, which are deleted again soon; permanent items have the IDs below. */
static const int64_t BRIEF_IDS = (int64_t)1 << 50;

/* ---- errors -------------------------------------------------------------------------------------- */

/* The last errno of a file of the database; sqlite()->system_errno() forgets it on a commit. */
static int last_errno(sqlite3 *db, int which_file)
{
        sqlite3_file *file = NULL;
        int errnum = 0;

        sqlite()->file_control(db, "main", which_file, &file);
        if (file != NULL && file->pMethods != NULL)
                file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &errnum);
        return errnum;
}

/* The log is written first. If it has no error, the write to the database failed, or to the copy that pack() makes. */
static int failed_write_errno(sqlite3 *db)
{
        int errnum = last_errno(db, SQLITE_FCNTL_JOURNAL_POINTER);

        if (errnum == 0)
                errnum = last_errno(db, SQLITE_FCNTL_FILE_POINTER);
        return errnum != 0 ? errnum : sqlite()->system_errno(db);
}

/* SQLite reports ENOSPC as FULL, but quotas and limits on a file's size as an I/O error of the disk. */
static bool is_out_of_space(sqlite3 *db, int code)
{
        int errnum = code == SQLITE_IOERR_WRITE ? failed_write_errno(db) : 0;

        return (code & 0xff) == SQLITE_FULL || errnum == EDQUOT || errnum == EFBIG;
}

struct error *sqlite_store_error(const struct sqlite_store *s, int code)
{
        const char *dir = s->shown;

        if (is_out_of_space(s->db, code))
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED,
                                            "the cluster's state cannot be written: the disk of '%s' is full", dir),
                                  "free some space there; acknowledged changes are not lost");
        switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return error_new(ERROR_DATA_LOSS, "the database in '%s' is corrupt (%s)", dir, sqlite()->errmsg(s->db));
        case SQLITE_IOERR:
                return error_new(ERROR_DATA_LOSS, "the disk of '%s' fails: %s (SQLite %d): %s", dir,
                                 sqlite()->errmsg(s->db), code, strerror(failed_write_errno(s->db)));
        case SQLITE_READONLY:
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the database in '%s' cannot be written: it or its disk is read-only", dir),
                                  "mount the disk for writing, and let the files belong to the user of the Auth Service; Linux makes a "
                                  "disk read-only by itself when it fails (dmesg says so)");
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "another program has the database in '%s' open", dir),
                                  "close it; the database belongs to one process at a time");
        default:
                return error_new(ERROR_UNAVAILABLE, "the database in '%s' cannot be used: %s (SQLite %d)", dir,
                                 sqlite()->errmsg(s->db), code);
        }
}

static struct error *with_restore_hint(const struct sqlite_store *s, struct error *err)
{
        if (err == NULL || err->code != ERROR_DATA_LOSS || err->hint != NULL)
                return err;
        return error_hint(err, "nothing was changed; restore the newest copy of '%s' with all its files; to begin a new cluster on purpose, "
                               "which no host and no user of this one trusts, move it away, and the directory 'ca' too", s->shown);
}

/* ---- items --------------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t hash, const void *bytes, size_t len)
{
        const uint8_t *at = bytes;

        for (size_t i = 0; i < len; i++)
                hash = (hash ^ at[i]) * 0x100000001b3u; /* FNV-1a; each step is a bijection: a change of one byte always shows */
        return hash;
}

int64_t sqlite_store_checksum(const struct store_item *item)
{
        uint64_t numbers[] = { item->key.len, item->value.len, item->revision, (uint64_t)item->expires.ns };
        uint64_t hash = fold(0xcbf29ce484222325u, numbers, sizeof numbers);

        hash = fold(hash, item->key.ptr, item->key.len);
        hash = fold(hash, item->value.ptr, item->value.len);
        return (int64_t)hash;
}

static struct str column_bytes(sqlite3_stmt *row, int column)
{
        const void *bytes = sqlite()->column_blob(row, column);

        return str_of_bytes(bytes, (size_t)sqlite()->column_bytes(row, column));
}

struct error *sqlite_store_row(sqlite3_stmt *row, struct store_item *ret)
{
        struct store_item item = {
                .key = column_bytes(row, 0),
                .value = column_bytes(row, 1),
                .revision = (uint64_t)sqlite()->column_int64(row, 2),
                .expires = { sqlite()->column_int64(row, 3) },
        };

        if (sqlite()->column_int64(row, 4) != sqlite_store_checksum(&item)) {
                AUTO_MEM char *shown = escaped(item.key);

                return error_new(ERROR_DATA_LOSS, "the item '%s' does not match its checksum", shown);
        }
        *ret = item;
        return NULL;
}

/* ---- helpers for SQL; all statements are constant ------------------------------------------------ */

struct error *sqlite_store_execute(struct sqlite_store *s, const char *sql)
{
        int code = sqlite()->exec(s->db, sql, NULL, NULL, NULL);

        return code == SQLITE_OK ? NULL : sqlite_store_error(s, code);
}

struct error *sqlite_store_compile(struct sqlite_store *s, const char *sql, sqlite3_stmt **ret)
{
        int code = sqlite()->prepare_v3(s->db, sql, -1, 0, ret, NULL);

        return code == SQLITE_OK ? NULL : sqlite_store_error(s, code);
}

struct error *sqlite_store_number(struct sqlite_store *s, const char *sql, int64_t *ret)
{
        sqlite3_stmt *q = NULL;
        TRY(sqlite_store_compile(s, sql, &q));
        int code = sqlite()->step(q);

        if (code == SQLITE_ROW)
                *ret = sqlite()->column_int64(q, 0);
        struct error *err = code == SQLITE_ROW ? NULL
                            : code == SQLITE_DONE
                                    ? error_new(ERROR_DATA_LOSS, "the database lacks its first record")
                                    : sqlite_store_error(s, code);
        sqlite()->finalize(q);
        return err;
}

/* ---- opening ------------------------------------------------------------------------------------- */

static void configure(sqlite3 *db)
{
        static const struct {
                int option, value;
        } options[] = {
                { SQLITE_DBCONFIG_DEFENSIVE, 1 },      { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
                { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 }, { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
                { SQLITE_DBCONFIG_DQS_DDL, 0 },        { SQLITE_DBCONFIG_DQS_DML, 0 },
                { SQLITE_DBCONFIG_ENABLE_FKEY, 1 },    { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
                { SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 }, /* a database that is refused is left unchanged */
        };

        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
                if (sqlite()->db_config(db, options[i].option, options[i].value, NULL) != SQLITE_OK)
                        bug("SQLite does not know option %d", options[i].option);
        }
        sqlite()->extended_result_codes(db, 1);
        sqlite()->limit(db, SQLITE_LIMIT_ATTACHED, 0);
        sqlite()->limit(db, SQLITE_LIMIT_LENGTH, LIMIT_STORE_VALUE + LIMIT_STORE_KEY + SQLITE_PAGE_SIZE);
}

/* The order matters: the kind of vacuum is stored with the first page, which the switch to WAL writes. */
static struct error *set_pragmas(struct sqlite_store *s)
{
        AUTO_MEM char *sizes = mem_printf("PRAGMA cache_size = %d; PRAGMA journal_size_limit = %d", -LIMIT_STORE_CACHE / KiB,
                                          LIMIT_STORE_LOG);

        TRY(sqlite_store_execute(s, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                       "PRAGMA synchronous = FULL; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
                       "PRAGMA cell_size_check = ON"));
        return sqlite_store_execute(s, sizes);
}

static int note_log_size(void *ctx, sqlite3 *db, const char *name, int pages)
{
        struct sqlite_store *s = ctx;

        (void)db;
        (void)name;
        s->log_pages = pages;
        return SQLITE_OK;
}

/*
 * Replaces SQLite's function, which makes paths absolute and examines each directory on the way: directories above the data
 * directory may be inaccessible. Paths stay unchanged; a symbolic link as the file is refused, as SQLITE_OPEN_NOFOLLOW requires.
 */
static int keep_path(sqlite3_vfs *vfs, const char *path, int size, char *ret)
{
        struct stat st;

        (void)vfs;
        if (strlen(path) >= (size_t)size)
                return SQLITE_CANTOPEN;
        memcpy(ret, path, strlen(path) + 1);
        return lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? SQLITE_OK_SYMLINK : SQLITE_OK;
}

static const char *vfs_of_plain_paths(void)
{
        static sqlite3_vfs vfs;

        if (vfs.zName == NULL) {
                vfs = *sqlite()->vfs_find(NULL);
                vfs.pNext = NULL;
                vfs.zName = "plain-paths";
                vfs.xFullPathname = keep_path;
                sqlite()->vfs_register(&vfs, 0);
        }
        return vfs.zName;
}

static struct error *open_database(struct sqlite_store *s, const char *file)
{
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    SQLITE_OPEN_NOFOLLOW;
        int code = sqlite()->open_v2(file, &s->db, flags, vfs_of_plain_paths());

        if (s->db == NULL)
                bug("out of memory while opening a database");
        if (code != SQLITE_OK)
                return sqlite_store_error(s, code);
        configure(s->db);
        /* Replaces SQLite's hook, which also checkpoints but ignores a failed fsync. */
        sqlite()->wal_hook(s->db, note_log_size, s);
        /* An exclusive lock that is taken before the first read keeps the log's index in memory instead of a file. */
        return sqlite_store_execute(s, "PRAGMA locking_mode = EXCLUSIVE");
}

/* Creates the file with mode 0600: SQLite would use the umask. The log gets the mode of the database. */
static struct error *create_file(const struct sqlite_store *s, const char *file)
{
        AUTO_FD int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                return error_errno(errno, "cannot open '%s/sqlite.db'", s->shown);
        return NULL;
}

/* ---- checking ------------------------------------------------------------------------------------ */

/* SQLite's own check of every page: trees, free lists, cells. */
static struct error *check_pages(struct sqlite_store *s)
{
        sqlite3_stmt *q = NULL;
        struct error *err = NULL;

        TRY(sqlite_store_compile(s, "PRAGMA quick_check(1)", &q));
        int code = sqlite()->step(q);
        if (code != SQLITE_ROW) {
                err = sqlite_store_error(s, code);
        } else if (!str_equal(str_of((const char *)sqlite()->column_text(q, 0)), STR("ok"))) {
                AUTO_MEM char *found = escaped(str_of((const char *)sqlite()->column_text(q, 0)));

                err = error_new(ERROR_DATA_LOSS, "the database in '%s' is corrupt: %s", s->shown, found);
        }
        sqlite()->finalize(q);
        return err;
}

/*
 * Our own check: every item matches its checksum, keys ascend, no item is newer than the database, and the index
 * has an entry for every item. The key comes from the index and the rest from the table, so the checksum also
 * proves that the two belong together. each, if not NULL, gets every item.
 */
static struct error *check_items(struct sqlite_store *s, struct error *(*each)(void *ctx, const struct store_item *item), void *ctx,
                                 int64_t *ret_count)
{
        sqlite3_stmt *q = NULL;
        struct error *err = NULL;
        AUTO(buf) last = BUF_MAX(LIMIT_STORE_KEY);
        int64_t in_table = 0, in_index = 0;
        int code;

        TRY(sqlite_store_number(s, "SELECT count(*) FROM item NOT INDEXED", &in_table));
        TRY(sqlite_store_compile(s, "SELECT " SQLITE_ITEM_COLUMNS " FROM item INDEXED BY item_key ORDER BY key", &q));
        while (err == NULL && (code = sqlite()->step(q)) == SQLITE_ROW) {
                struct store_item item;

                err = sqlite_store_row(q, &item);
                if (err != NULL)
                        break;
                if (str_compare(buf_str(&last), item.key) >= 0 || item.revision > s->revision) {
                        AUTO_MEM char *shown = escaped(item.key);

                        err = error_new(ERROR_DATA_LOSS, "the item '%s' is out of order in the database", shown);
                }
                if (err == NULL && each != NULL)
                        err = each(ctx, &item);
                buf_clear(&last);
                buf_put(&last, item.key);
                in_index++;
        }
        if (err == NULL && code != SQLITE_DONE)
                err = sqlite_store_error(s, code);
        sqlite()->finalize(q);
        if (err == NULL && in_index != in_table)
                err = error_new(ERROR_DATA_LOSS, "the database in '%s' has %lld items, and its index %lld", s->shown,
                                (long long)in_table, (long long)in_index);
        *ret_count = in_index;
        return err;
}

static struct error *read_cluster(struct sqlite_store *s, struct store_marker *ret)
{
        sqlite3_stmt *q = NULL;
        struct error *err = NULL;

        TRY(sqlite_store_compile(s, "SELECT identity, revision FROM cluster", &q));
        int code = sqlite()->step(q);
        if (code == SQLITE_ROW && sqlite()->column_bytes(q, 0) == STORE_IDENTITY_SIZE && sqlite()->column_int64(q, 1) >= 0) {
                memcpy(ret->identity, sqlite()->column_blob(q, 0), STORE_IDENTITY_SIZE);
                ret->revision = (uint64_t)sqlite()->column_int64(q, 1);
        } else if (code == SQLITE_ROW || code == SQLITE_DONE) {
                err = error_new(ERROR_DATA_LOSS, "the database in '%s' does not name its cluster", s->shown);
        } else {
                err = sqlite_store_error(s, code);
        }
        sqlite()->finalize(q);
        return err;
}

static struct error *check_marker(const struct sqlite_store *s, const struct store_marker *found)
{
        if (memcmp(found->identity, s->marker.identity, STORE_IDENTITY_SIZE) != 0)
                return error_new(ERROR_DATA_LOSS, "the database in '%s' is not the one this cluster was using", s->shown);
        if (found->revision < s->marker.revision)
                return error_hint(error_new(ERROR_DATA_LOSS,
                                            "the database in '%s' is older than this cluster: it ends at change %llu, and "
                                            "change %llu was seen before",
                                            s->shown, (unsigned long long)found->revision,
                                            (unsigned long long)s->marker.revision),
                                  "restore the newest copy; to go on with the older state, and lose the revocations "
                                  "since, remove '%s/initialised'",
                                  s->shown);
        return NULL;
}

struct error *sqlite_store_mark(struct sqlite_store *s)
{
        if (s->revision == s->marker.revision)
                return NULL;
        struct store_marker m = s->marker;
        m.revision = s->revision;
        TRY(store_marker_write(s->dir, &m));
        s->marker = m;
        return NULL;
}

bool store_is_there(const char *path)
{
        static const char *const names[] = { "sqlite.db", "sqlite.db-wal", "initialised" };
        bool is_there = false;

        for (size_t i = 0; i < ARRAY_LEN(names) && !is_there; i++) {
                AUTO_MEM char *file = mem_printf("%s/%s", path, names[i]);
                is_there = access(file, F_OK) == 0;
        }
        return is_there;
}

/* Whether a database exists and must be checked; creates the file when the cluster is new. */
static struct error *find_database(const struct sqlite_store *s, const char *file, bool is_marked, bool *ret_exists)
{
        struct stat st = { .st_size = 0 };
        bool exists = stat(file, &st) == 0;

        if (!exists && errno != ENOENT)
                return error_errno(errno, "cannot open '%s/sqlite.db'", s->shown);
        if (is_marked && st.st_size == 0)
                return error_new(ERROR_DATA_LOSS, "the cluster was initialised, but its database '%s/sqlite.db' is %s", s->shown,
                                 exists ? "empty" : "missing");
        *ret_exists = st.st_size > 0;
        return *ret_exists ? NULL : create_file(s, file);
}

static struct error *open_checked(struct sqlite_store *s)
{
        AUTO_MEM char *file = mem_printf("%s/sqlite.db", s->dir);
        struct store_marker found;
        int64_t tables = 0, items;
        int version = 0;
        bool exists;

        struct error *err = store_marker_read(s->dir, s->shown, &s->marker);
        bool is_marked = err == NULL;
        if (err != NULL && err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err);
        TRY(find_database(s, file, is_marked, &exists));
        TRY(open_database(s, file));
        /* A crash during the first start leaves a database without tables: the next start is a first start again. */
        TRY(sqlite_store_number(s, "SELECT count(*) FROM sqlite_schema", &tables));
        if (tables > 0)
                TRY(sqlite_schema_version(s, &version)); /* before a pragma can change a newer database */
        TRY(set_pragmas(s));
        if (tables == 0 && !is_marked)
                TRY(sqlite_schema_create(s));
        TRY(sqlite_schema_version(s, &version));
        TRY(sqlite_schema_check(s, version));
        TRY(check_pages(s));
        TRY(sqlite_schema_upgrade(s, version));
        TRY(read_cluster(s, &found));
        if (is_marked)
                TRY(check_marker(s, &found));
        s->revision = found.revision;
        TRY(check_items(s, NULL, NULL, &items));
        memcpy(s->marker.identity, found.identity, STORE_IDENTITY_SIZE);
        if (!is_marked)
                return store_marker_write(s->dir, &found);
        return sqlite_store_mark(s);
}

/* ---- checking a database that no process has open ------------------------------------------------- */

/* The upgrade of the next start, in a transaction that is never committed: it stays in memory, and ends with the connection. */
static struct error *try_upgrade(struct sqlite_store *s, int version)
{
        TRY(sqlite_store_execute(s, "PRAGMA temp_store = MEMORY; PRAGMA cache_spill = OFF; BEGIN IMMEDIATE"));
        return sqlite_schema_upgrade_in(s, version);
}

static struct error *check_closed(struct sqlite_store *s, struct error *(*each)(void *ctx, const struct store_item *item), void *ctx,
                                  struct store_checked *ret)
{
        AUTO_MEM char *file = mem_printf("%s/sqlite.db", s->dir);
        struct store_marker found;
        struct stat st = { .st_size = 0 };
        int64_t items = 0;

        struct error *err = store_marker_read(s->dir, s->shown, &s->marker);
        bool is_marked = err == NULL;
        if (err != NULL && err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err);
        if (stat(file, &st) < 0 || st.st_size == 0)
                return error_new(ERROR_DATA_LOSS, "the cluster was initialised, but its database '%s/sqlite.db' is missing or empty", s->shown);
        TRY(open_database(s, file));
        TRY(sqlite_schema_version(s, &ret->format));
        TRY(sqlite_schema_check(s, ret->format));
        TRY(check_pages(s));
        ret->newest = sqlite_schema_newest();
        if (ret->format < ret->newest)
                TRY(try_upgrade(s, ret->format));
        TRY(read_cluster(s, &found));
        if (is_marked)
                TRY(check_marker(s, &found));
        s->revision = ret->revision = found.revision;
        TRY(check_items(s, each, ctx, &items));
        ret->items = (uint64_t)items;
        return NULL;
}

struct error *sqlite_store_check(const struct store_options *options, struct error *(*each)(void *ctx, const struct store_item *item),
                                 void *ctx, struct store_checked *ret)
{
        const char *shown = options->shown == NULL ? options->path : options->shown;
        struct sqlite_store s = { .lock_fd = -1 };

        if (!store_is_there(options->path))
                return error_new(ERROR_NOT_FOUND, "there is no database in '%s'", shown);
        s.dir = str_dup(str_of(options->path));
        s.shown = str_dup(str_of(shown));
        struct error *err = dir_lock(s.dir, &s.lock_fd);
        if (err == NULL)
                err = check_closed(&s, each, ctx, ret);
        sqlite_store_close(&s); /* without a checkpoint: the write-ahead log stays as it is */
        return err;
}

/* ---- packing --------------------------------------------------------------------------------------- */

static void checkpoint_on_close(struct sqlite_store *s)
{
        sqlite()->db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
}

/*
 * Writes the database anew, in one transaction. SQLite's copy is an unnamed file in the data directory: in memory it would be as
 * large as the database, and the directories that SQLite would choose are inaccessible.
 */
static struct error *pack(struct sqlite_store *s)
{
        char *before = *sqlite()->temp_directory; /* SQLite's variable, global to the process */

        *sqlite()->temp_directory = s->dir;
        sqlite()->limit(s->db, SQLITE_LIMIT_ATTACHED, 1); /* allows the copy */
        struct error *err = sqlite_store_execute(s, "PRAGMA temp_store = FILE; PRAGMA auto_vacuum = INCREMENTAL; VACUUM");
        sqlite()->limit(s->db, SQLITE_LIMIT_ATTACHED, 0);
        *sqlite()->temp_directory = before;
        return err != NULL ? err : sqlite_store_execute(s, "PRAGMA temp_store = MEMORY");
}

/*
 * A database of an older release cannot shrink until it is written anew, once. If that fails (disk full,
 * quota, out of memory), the store works without it: the database is reopened unchanged, checked like at any start, and the
 * next start tries again.
 */
static struct error *make_shrinkable(struct sqlite_store *s)
{
        int64_t kind = 0;

        TRY(sqlite_store_number(s, "PRAGMA auto_vacuum", &kind));
        if (kind == VACUUM_INCREMENTAL)
                return NULL;
        AUTO_PTR(error) err = pack(s);
        if (err == NULL)
                return NULL;
        log_warn("The store cannot be packed; it does not become smaller, and the next start tries again", LOG_ERR(err));
        sqlite()->close(s->db); /* discards what the attempt left in the log */
        s->db = NULL;
        TRY(open_checked(s));
        checkpoint_on_close(s);
        return NULL;
}

static struct error *open_dir(const char *path, const char *shown, struct sqlite_store *s)
{
        TRY(dir_make(path, 0700));
        s->dir = str_dup(str_of(path));
        s->shown = str_dup(str_of(shown));
        TRY(dir_lock(s->dir, &s->lock_fd));
        TRY(with_restore_hint(s, open_checked(s)));
        checkpoint_on_close(s);
        return with_restore_hint(s, make_shrinkable(s));
}

static struct error *find_next_id(struct sqlite_store *s, int64_t from, int64_t to, int64_t *ret)
{
        AUTO_MEM char *sql = mem_printf("SELECT coalesce((SELECT id FROM item WHERE id >= %lld AND id < %lld ORDER BY id DESC LIMIT 1), %lld) + 1",
                                        (long long)from, (long long)to, (long long)from);

        return sqlite_store_number(s, sql, ret);
}

static struct error *find_next_ids(struct sqlite_store *s)
{
        TRY(find_next_id(s, 0, BRIEF_IDS, &s->next_id));
        return find_next_id(s, BRIEF_IDS, 2 * BRIEF_IDS, &s->next_brief_id);
}

struct error *sqlite_store_open(const char *path, const char *shown, struct sqlite_store *s)
{
        s->lock_fd = -1;
        TRY(open_dir(path, shown == NULL ? path : shown, s));
        return find_next_ids(s);
}

void sqlite_store_close(struct sqlite_store *s)
{
        for (size_t i = 0; i < SQL_COUNT; i++)
                sqlite()->finalize(s->statements[i]);
        sqlite()->close(s->db); /* moves the log into the database and removes the log */
        if (s->lock_fd >= 0)
                close(s->lock_fd);
        free(s->dir);
        free(s->shown);
        *s = (struct sqlite_store){ .lock_fd = -1 };
}
