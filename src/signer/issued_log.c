/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/issued_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"

/* ---- rotation ------------------------------------------------------------------------------------------ */

/* Empties the log after its lines were archived. */
static struct error *begin_anew(struct issued_log *log)
{
        if (ftruncate(log->fd, 0) < 0 || fdatasync(log->fd) < 0)
                return error_because(error_new(ERROR_DATA_LOSS, "the log of issued certificates is broken"),
                                     error_errno(errno, "cannot empty it"));
        log->size = 0;
        log->is_torn = false;
        log->rotate_at = ISSUED_LOG_PLAIN;
        return NULL;
}

/* Empties the log if a crash prevented that after its lines were archived; no line was written since. */
static struct error *finish_rotation(struct issued_log *log)
{
        return log->size > 0 && issued_archive_has(&log->archive, log->fd, log->size) ? begin_anew(log) : NULL;
}

struct error *issued_log_rotate(struct issued_log *log)
{
        bool dropped = false;

        if (log->size < log->rotate_at)
                return NULL;
        struct error *err = issued_archive_add(&log->archive, log->fd, log->size, &dropped);
        if (dropped)
                log_info("The older archive of issued certificates was full, and is begun anew", LOG_INT("bytes", LIMIT_ISSUED_ARCHIVE));
        if (err == NULL)
                return begin_anew(log);
        if (err->code != ERROR_RESOURCE_EXHAUSTED)
                return err;
        log_warn("The log of issued certificates cannot be packed, and grows on", LOG_ERR(err));
        error_free(err);
        log->rotate_at = log->size + ISSUED_LOG_PLAIN;
        return NULL;
}

/* ---- open -------------------------------------------------------------------------------------------------- */

struct error *issued_log_open(struct issued_log *log, const char *path)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct stat st;
        char last = '\n';

        if (fd < 0)
                return error_errno(errno, "cannot open the log of issued certificates, %s", shown);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "the log of issued certificates, %s, is not a file", shown);
        if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) < 0)
                return error_errno(errno, "cannot read the log of issued certificates, %s", shown);
        const char *slash = strrchr(path, '/');
        AUTO_MEM char *dir = slash == NULL ? str_dup(STR(".")) : mem_printf("%.*s", (int)(slash - path), path);
        if (fsync(fd) < 0) /* an earlier run may have ended between a write and its sync */
                return error_errno(errno, "cannot sync the log of issued certificates, %s", shown);
        *log = (struct issued_log){
                .fd = fd, .size = st.st_size, .lines = BUF_MAX(2 * ISSUED_LOG_BATCH), .is_torn = last != '\n', .rotate_at = ISSUED_LOG_PLAIN
        };
        fd = -1;
        struct error *err = issued_archive_open(&log->archive, path);
        if (err == NULL)
                err = dir_sync(dir);
        if (err == NULL)
                err = finish_rotation(log);
        if (err == NULL)
                err = issued_log_rotate(log);
        if (err != NULL)
                issued_log_release(log);
        return err;
}

void issued_log_release(struct issued_log *log)
{
        if (log->fd > 0)
                close(log->fd);
        issued_archive_release(&log->archive);
        buf_release(&log->lines);
        *log = (struct issued_log){ 0 };
}

/* ---- lines ------------------------------------------------------------------------------------------------- */

/* Puts `,"name":"text"`; the first member of an object has no comma. */
static void put_text(struct buf *out, const char *name, struct str text)
{
        buf_printf(out, "%s\"%s\":", out->ptr[out->len - 1] == '{' ? "" : ",", name);
        json_put_string(out, text);
}

static void put_time(struct buf *out, const char *name, struct walltime t)
{
        AUTO(buf) text = BUF_MAX(64);

        walltime_put_rfc3339(&text, t);
        put_text(out, name, buf_str(&text));
}

static void put_list(struct buf *out, const struct str *items, size_t count, const char **separator)
{
        for (size_t i = 0; i < count; i++) {
                buf_put_c(out, *separator);
                json_put_string(out, items[i]);
                *separator = ",";
        }
}

static void put_key(struct buf *out, struct str key)
{
        AUTO(buf) text = BUF_MAX(128);
        uint8_t digest[32];

        sha256(key, digest);
        buf_put(&text, STR("sha256:"));
        hex_encode(&text, str_of_bytes(digest, sizeof digest));
        put_text(out, "key", buf_str(&text));
}

static void put_text_if_any(struct buf *out, const char *name, struct str text)
{
        if (!str_is_empty(text))
                put_text(out, name, text);
}

static void put_line(struct buf *out, const struct issued_order *order, struct walltime now, const struct issued *issued)
{
        bool is_user = !str_is_empty(order->user);
        const char *separator = "";

        buf_put_char(out, '{');
        put_time(out, "time", now);
        put_text(out, "kind", str_of(issued->kind));
        put_text(out, "serial", issued->serial);
        put_text_if_any(out, "user", order->user);
        put_text_if_any(out, "host_id", order->host_id);
        put_text_if_any(out, "node_name", order->node_name);
        put_text_if_any(out, "role", order->role);
        put_text(out, "reason", str_of(order->reason));
        put_time(out, "not_before", order->times.not_before);
        put_time(out, "not_after", order->times.not_after);
        put_key(out, issued->key);
        buf_printf(out, ",\"%s\":[", is_user ? "roles" : "system_roles");
        put_list(out, order->roles, order->role_count, &separator);
        separator = "";
        buf_printf(out, "],\"%s\":[", is_user ? "logins" : "names");
        put_list(out, issued->names, issued->name_count, &separator);
        put_list(out, issued->more_names, issued->more_name_count, &separator);
        buf_put_c(out, "]}\n");
}

struct error *issued_log_add(struct issued_log *log, const struct issued_order *order, struct walltime now,
                             const struct issued *issued, size_t count)
{
        size_t before = log->lines.len;

        if (before == 0 && log->is_torn)
                buf_put_char(&log->lines, '\n');
        for (size_t i = 0; i < count; i++)
                put_line(&log->lines, order, now, &issued[i]);
        struct error *err = buf_finish(&log->lines, "the line about a certificate");
        if (err != NULL) {
                log->lines.len = before;
                log->lines.overflowed = false;
        }
        return err;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static struct error *write_lines(const struct issued_log *log)
{
        return fd_write_all(log->fd, buf_str(&log->lines)) ? NULL : error_errno(errno, "cannot write the log of issued certificates");
}

static bool is_full(int errnum)
{
        return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG;
}

/* Removes the part that a commit has written before the disk was full. */
static struct error *take_back(struct issued_log *log, struct error *err)
{
        if (ftruncate(log->fd, log->size) < 0)
                log->is_torn = true; /* the next line is written after a newline */
        return error_hint(err, "no certificate leaves the signer without a line there: make room on its disk");
}

struct error *issued_log_commit(struct issued_log *log)
{
        if (log->lines.len == 0)
                return NULL;
        struct error *err = write_lines(log);
        if (err != NULL) {
                err = take_back(log, err);
        } else if (fdatasync(log->fd) < 0) {
                int errnum = errno;

                err = error_errno(errnum, "cannot sync the log of issued certificates");
                /* After other errors the kernel may have dropped the pages: a repeated sync would succeed without a write. */
                err = is_full(errnum) ? take_back(log, err) :
                                        error_because(error_new(ERROR_DATA_LOSS, "the log of issued certificates is broken"), err);
        } else {
                log->size += (off_t)log->lines.len;
                log->is_torn = false;
        }
        buf_clear(&log->lines);
        return err;
}
