/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/data_check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "pki/key.h"
#include "signer/authorities.h"
#include "signer/rotation.h"
#include "state/state_check.h"

static const char *const names[] = {
        [DATA_DATABASE] = "database",
        [DATA_RECORDS] = "records",
        [DATA_CA] = "CA",
        [DATA_AUDIT_LOG] = "audit log",
};

const char *data_part_name(enum data_part part)
{
        return names[part];
}

void data_check_release(struct data_check *c)
{
        for (size_t i = 0; i < DATA_PARTS; i++) {
                error_free(c->parts[i].err);
                buf_release(&c->parts[i].found);
        }
        buf_release(&c->cluster);
        buf_release(&c->pin);
        *c = (struct data_check){ 0 };
}

const struct error *data_check_error(const struct data_check *c)
{
        for (size_t i = 0; i < DATA_PARTS; i++)
                if (c->parts[i].err != NULL)
                        return c->parts[i].err;
        return NULL;
}

/* ---- with the rights of a directory's owner ------------------------------------------------------- */

/* The working directory is the directory meanwhile: its owner may be unable to enter those above it. */
struct owner_rights {
        int before; /* the working directory; -1: nothing was changed */
        bool has_changed_user;
        int group_count;
        gid_t groups[NGROUPS_MAX]; /* the supplementary groups before */
};

static struct error *enter(const char *dir, struct owner_rights *v)
{
        struct stat st;

        v->before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (v->before < 0 || chdir(dir) < 0 || stat(".", &st) < 0)
                return error_errno(errno, "cannot enter the directory %s", dir);
        if (geteuid() != 0 || st.st_uid == 0)
                return NULL;
        v->group_count = getgroups(NGROUPS_MAX, v->groups);
        if (v->group_count < 0)
                return error_errno(errno, "cannot read the groups of this process");
        v->has_changed_user = true;
        if (setgroups(0, NULL) < 0 || setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
                return error_errno(errno, "cannot become the owner of %s", dir);
        return NULL;
}

static void leave(struct owner_rights *v)
{
        if (v->has_changed_user && (seteuid(0) < 0 || setegid(0) < 0 || setgroups((size_t)v->group_count, v->groups) < 0))
                abort(); /* a process with rights that it does not expect must not go on */
        if (v->before >= 0 && fchdir(v->before) < 0)
                abort();
        if (v->before >= 0)
                close(v->before);
}

/* ---- the database ---------------------------------------------------------------------------------- */

/* Records that cannot be read are counted, and do not end the check of the database. */
struct records {
        struct data_check *check;
        uint64_t unreadable;
};

static struct error *check_record(void *ctx, const struct store_item *item)
{
        struct records *r = ctx;
        struct error *err = state_check_item(item);

        if (err == NULL)
                buf_put(&r->check->cluster, state_cluster_name(item));
        if (err == NULL)
                return NULL;
        r->unreadable++;
        if (r->check->parts[DATA_RECORDS].err == NULL)
                r->check->parts[DATA_RECORDS].err = err;
        else
                error_free(err);
        return NULL;
}

static void check_store(struct data_check *c, struct store_options store)
{
        struct records r = { .check = c };
        struct owner_rights v = { .before = -1 };
        struct store_options inside = { .type = store.type, .path = ".", .shown = store.path };
        struct error *err = store_load(store.type);

        if (err == NULL)
                err = enter(store.path, &v);
        if (err == NULL)
                err = store_check(inside, check_record, &r, &c->store);
        leave(&v);
        if (err == NULL && c->cluster.len == 0)
                err = error_new(ERROR_DATA_LOSS, "the database in '%s' has no cluster: its first start was not completed", store.path);
        c->parts[DATA_DATABASE].err = err;
        if (err != NULL)
                return;
        buf_printf(&c->parts[DATA_DATABASE].found, "cluster %.*s, %llu records, change %llu, format %d", STR_ARG(buf_str(&c->cluster)),
                   (unsigned long long)c->store.items, (unsigned long long)c->store.revision, c->store.format);
        if (c->store.format < c->store.newest)
                buf_printf(&c->parts[DATA_DATABASE].found, "; the next start upgrades it to format %d", c->store.newest);
        buf_printf(&c->parts[DATA_RECORDS].found, "%llu can be read", (unsigned long long)(c->store.items - r.unreadable));
        if (r.unreadable > 1)
                c->parts[DATA_RECORDS].err = error_wrap(c->parts[DATA_RECORDS].err, "%llu records cannot be read; the first",
                                                        (unsigned long long)r.unreadable);
}

/* ---- the CA ------------------------------------------------------------------------------------------ */

static struct error *load_ca(struct data_check *c, const char *dir)
{
        AUTO(authorities) ca = { 0 };
        struct error *err = authorities_load_from(&ca, ".");

        if (err != NULL)
                return error_wrap(err, "%s", dir);
        err = rotations_check(".", buf_str(&ca.cluster));
        if (err != NULL)
                return error_wrap(err, "%s", dir);
        TRY(ca_pin_of_cert(buf_str(&ca.all[AUTHORITY_HOST].tls_cert), &c->pin));
        if (c->cluster.len > 0 && !str_equal(buf_str(&ca.cluster), buf_str(&c->cluster)))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the CA in %s is that of cluster '%.*s', the database that of '%.*s'",
                                            dir, STR_ARG(buf_str(&ca.cluster)), STR_ARG(buf_str(&c->cluster))),
                                  "both must come from one backup");
        buf_printf(&c->parts[DATA_CA].found, "cluster %.*s, pin %.*s", STR_ARG(buf_str(&ca.cluster)), STR_ARG(buf_str(&c->pin)));
        return NULL;
}

static void check_ca(struct data_check *c, const char *data_dir)
{
        AUTO_MEM char *dir = mem_printf("%s/ca", data_dir);
        struct owner_rights v = { .before = -1 };
        struct error *err = enter(dir, &v);

        if (err == NULL)
                err = load_ca(c, dir);
        leave(&v);
        c->parts[DATA_CA].err = err;
}

/* ---- the audit log ------------------------------------------------------------------------------------ */

/* The last bytes of the log; *ret_from: where they begin in the file. */
static struct error *read_tail(const char *shown, struct buf *out, off_t *ret_from, off_t *ret_size)
{
        AUTO_FD int fd = open("events.log", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return error_errno(errno, "cannot open %s", shown);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "%s is not a regular file", shown);
        *ret_size = st.st_size;
        *ret_from = st.st_size > 2 * LIMIT_AUDIT_RECORD ? st.st_size - 2 * LIMIT_AUDIT_RECORD : 0;
        char *to = buf_extend(out, (size_t)(st.st_size - *ret_from));
        ssize_t n = pread(fd, to, out->len, *ret_from);
        if (n != (ssize_t)out->len)
                return error_errno(n < 0 ? errno : EIO, "cannot read %s", shown);
        return NULL;
}

/* The last whole line of the text, with its end; "" if there is none. */
static struct str last_line(struct str text)
{
        size_t end = text.len, start;

        while (end > 0 && text.ptr[end - 1] != '\n')
                end--;
        for (start = end; start > 0 && (start == end || text.ptr[start - 1] != '\n'); start--)
                ;
        return str_slice(text, start, end - start);
}

static struct error *check_tail(struct data_check *c, const char *shown)
{
        AUTO(buf) tail = BUF_MAX(2 * LIMIT_AUDIT_RECORD);
        struct buf *found = &c->parts[DATA_AUDIT_LOG].found;
        off_t from = 0, size = 0;

        struct error *err = read_tail(shown, &tail, &from, &size);
        if (err != NULL && err->code == ERROR_NOT_FOUND) {
                error_free(err);
                buf_printf(found, "there is none; the next start begins one");
                return NULL;
        }
        if (err != NULL)
                return err;
        struct str line = last_line(buf_str(&tail));
        if (str_is_empty(line) ? from > 0 : !audit_is_line(line))
                return error_hint(error_new(ERROR_DATA_LOSS, "the last line of %s is no event", shown),
                                  "the log itself is not needed to start; keep a copy of the file for an examination");
        buf_printf(found, "%lld bytes", (long long)size);
        if (tail.len > 0 && tail.ptr[tail.len - 1] != '\n')
                buf_put_c(found, "; the last line is not complete, and the next start moves it to events.torn");
        return NULL;
}

static void check_audit_log(struct data_check *c, const char *data_dir)
{
        AUTO_MEM char *dir = mem_printf("%s/log", data_dir);
        AUTO_MEM char *shown = mem_printf("%s/events.log", dir);
        struct owner_rights v = { .before = -1 };
        struct error *err = enter(dir, &v);
        bool is_missing = err != NULL && err->code == ERROR_NOT_FOUND;

        if (err == NULL)
                err = check_tail(c, shown);
        leave(&v);
        if (is_missing) {
                error_free(err);
                err = NULL;
                buf_put_c(&c->parts[DATA_AUDIT_LOG].found, "there is none; the next start begins one");
        }
        c->parts[DATA_AUDIT_LOG].err = err;
}

void data_check_run(struct data_check *c, const char *data_dir, struct store_options store)
{
        c->cluster = BUF_MAX(LIMIT_NAME);
        c->pin = BUF_MAX(128);
        for (size_t i = 0; i < DATA_PARTS; i++)
                c->parts[i].found = BUF_MAX(1 * KiB);
        check_store(c, store);
        check_ca(c, data_dir);
        check_audit_log(c, data_dir);
}
