/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/rotation.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/reader.h"
#include "base/text.h"

/* ---- the record of the journal --------------------------------------------------------------------------------- */

static void put_keys(struct buf *out, const struct ca_keys *k)
{
        bool is_there = ca_keys_exist(k);

        buf_put_u8(out, is_there);
        if (is_there && k->jwt_key.ptr != NULL)
                buf_put_ssh_string(out, secret_str(&k->jwt_key));
        if (!is_there || k->jwt_key.ptr != NULL)
                return;
        buf_put_ssh_string(out, secret_str(&k->tls_key));
        buf_put_ssh_string(out, buf_str(&k->tls_cert));
        buf_put_ssh_string(out, secret_str(&k->ssh_key));
}

/* An earlier release, which has no CA jwt, reads the record as long as that CA was not rotated. */
static bool is_in_record(const struct ca_rotation *all, size_t i)
{
        return i != AUTHORITY_JWT || all[i].id[0] != '\0';
}

static void put_record(struct buf *out, const struct ca_rotation *all)
{
        for (size_t i = 0; i < AUTHORITY_COUNT && is_in_record(all, i); i++) {
                buf_put_ssh_string(out, str_of(ca_phase_name(all[i].phase)));
                buf_put_ssh_string(out, str_of(all[i].id));
                put_keys(out, &all[i].next);
                put_keys(out, &all[i].current);
        }
}

static void take_keys(struct reader *r, enum authority_type type, struct ca_keys *ret)
{
        if (reader_u8(r) == 0)
                return;
        if (type == AUTHORITY_JWT) {
                ret->jwt_key = secret_of(reader_ssh_string(r, CA_JOURNAL_RECORD));
                return;
        }
        ret->tls_key = secret_of(reader_ssh_string(r, CA_JOURNAL_RECORD));
        ret->tls_cert = BUF_MAX(CA_JOURNAL_RECORD);
        buf_put(&ret->tls_cert, reader_ssh_string(r, CA_JOURNAL_RECORD));
        ret->ssh_key = secret_of(reader_ssh_string(r, CA_JOURNAL_RECORD));
}

static struct error *take_record(struct str record, struct ca_rotation *all)
{
        struct reader r = reader_over(record);

        for (size_t i = 0; i < AUTHORITY_COUNT && (i != AUTHORITY_JWT || r.rest.len > 0); i++) {
                struct str phase = reader_ssh_string(&r, LIMIT_NAME), id = reader_ssh_string(&r, ROTATION_ID);

                if (!reader_ok(&r))
                        break;
                TRY(ca_phase_get(phase, &all[i].phase));
                memcpy(all[i].id, id.ptr, id.len);
                take_keys(&r, (enum authority_type)i, &all[i].next);
                take_keys(&r, (enum authority_type)i, &all[i].current);
                if (reader_ok(&r) && (all[i].phase == CA_STANDBY) != !ca_keys_exist(&all[i].next))
                        reader_fail(&r, "the phase does not fit the keys");
        }
        return reader_finish(&r, "the journal of the CA's rotation");
}

static struct error *write_record(struct rotations *r, const struct ca_rotation *all)
{
        AUTO(buf) record = BUF_MAX(CA_JOURNAL_RECORD);

        (void)buf_extend(&record, CA_JOURNAL_RECORD - 1); /* at once, so that private keys are never moved */
        buf_clear(&record);
        put_record(&record, all);
        struct error *err = buf_finish(&record, "the journal of the CA's rotation");
        if (err == NULL)
                err = ca_journal_write(&r->journal, buf_str(&record));
        wipe(record.ptr, record.room);
        return err;
}

/* ---- the files of the CAs ---------------------------------------------------------------------------------------- */

static void close_files(struct rotations *r, enum authority_type type)
{
        for (size_t k = 0; k < CA_FILES; k++) {
                if (r->files[type][k] > 0)
                        close(r->files[type][k]);
                r->files[type][k] = 0;
        }
}

/* The files are written in place later, as a process in the sandbox opens none. */
static struct error *open_files(struct rotations *r, const char *dir, enum authority_type type)
{
        static const char *const suffixes[CA_FILES] = { "tls.key.pem", "tls.cert.pem", "ssh.key.pem" };
        static const char *const jwt_suffixes[CA_FILES] = { "key.pem" };
        const char *const *list = type == AUTHORITY_JWT ? jwt_suffixes : suffixes;

        close_files(r, type); /* they may have been replaced */
        for (size_t k = 0; k < CA_FILES && list[k] != NULL; k++) {
                AUTO_MEM char *path = mem_printf("%s/%s.%s", dir, authority_name(type), list[k]);
                int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

                if (fd < 0)
                        return error_errno(errno, "cannot open %s", path);
                r->files[type][k] = fd;
        }
        return NULL;
}

static struct error *write_in_place(int fd, struct str bytes)
{
        ssize_t n = pwrite(fd, bytes.ptr, bytes.len, 0);

        if (n >= 0 && (size_t)n < bytes.len)
                return error_errno(ENOSPC, "cannot write the files of the new CA");
        if (n < 0 || ftruncate(fd, (off_t)bytes.len) < 0 || fdatasync(fd) < 0)
                return error_errno(errno, "cannot write the files of the new CA");
        return NULL;
}

static struct error *write_files(const struct rotations *r, enum authority_type type)
{
        const struct ca_keys *keys = &r->all[type].current;
        const int *fds = r->files[type];

        if (type == AUTHORITY_JWT)
                return write_in_place(fds[0], secret_str(&keys->jwt_key));
        TRY(write_in_place(fds[0], secret_str(&keys->tls_key)));
        TRY(write_in_place(fds[1], buf_str(&keys->tls_cert)));
        return write_in_place(fds[2], secret_str(&keys->ssh_key));
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

static void rotation_release(struct ca_rotation *one)
{
        ca_keys_release(&one->next);
        ca_keys_release(&one->current);
        *one = (struct ca_rotation){ 0 };
}

void rotations_release(struct rotations *r)
{
        for (size_t i = 0; i < AUTHORITY_COUNT; i++) {
                rotation_release(&r->all[i]);
                close_files(r, (enum authority_type)i);
        }
        ca_journal_release(&r->journal);
        *r = (struct rotations){ 0 };
}

/* In place, as a step does: it needs no space on a full disk, and leaves nothing of the old keys. */
static struct error *finish_type(struct rotations *r, const char *dir, enum authority_type type)
{
        AUTO_PTR(error) err = open_files(r, dir, type);

        if (err == NULL)
                err = write_files(r, type);
        return err == NULL ? NULL : ca_keys_write(&r->all[type].current, dir, type); /* a file may be missing */
}

/* Writes the files of a CA that became the only one. */
static struct error *finish_files(struct rotations *r, const char *dir)
{
        bool is_changed = false;

        for (size_t i = 0; i < AUTHORITY_COUNT; i++) {
                if (!ca_keys_exist(&r->all[i].current))
                        continue;
                TRY(finish_type(r, dir, (enum authority_type)i));
                ca_keys_release(&r->all[i].current);
                is_changed = true;
        }
        return is_changed ? write_record(r, r->all) : NULL;
}

struct error *rotations_open(struct rotations *r, const char *dir)
{
        AUTO(buf) record = BUF_MAX(CA_JOURNAL_RECORD);

        (void)buf_extend(&record, CA_JOURNAL_RECORD - 1);
        buf_clear(&record);
        struct error *err = ca_journal_open(&r->journal, dir, &record);
        if (err == NULL && record.len > 0)
                err = take_record(buf_str(&record), r->all);
        wipe(record.ptr, record.room);
        return err != NULL ? err : finish_files(r, dir);
}

static struct error *check_keys(const struct ca_keys *keys, struct str cluster)
{
        AUTO(authority) made = { 0 };

        return ca_keys_exist(keys) ? authority_of_keys(&made, keys, cluster) : NULL;
}

struct error *rotations_check(const char *dir, struct str cluster)
{
        AUTO(buf) record = BUF_MAX(CA_JOURNAL_RECORD);
        AUTO(rotations) r = { 0 };

        (void)buf_extend(&record, CA_JOURNAL_RECORD - 1);
        buf_clear(&record);
        struct error *err = ca_journal_read(dir, &record);
        if (err == NULL && record.len > 0)
                err = take_record(buf_str(&record), r.all);
        wipe(record.ptr, record.room);
        for (size_t i = 0; err == NULL && i < AUTHORITY_COUNT; i++) {
                err = check_keys(&r.all[i].next, cluster);
                if (err == NULL)
                        err = check_keys(&r.all[i].current, cluster);
        }
        return err;
}

struct error *rotations_load(struct rotations *r, struct authorities *as, const char *dir)
{
        for (size_t i = 0; i < AUTHORITY_COUNT; i++)
                if (r->all[i].phase != CA_STANDBY)
                        TRY(authority_of_keys(&as->next[i], &r->all[i].next, buf_str(&as->cluster)));
        for (size_t i = 0; i < AUTHORITY_COUNT; i++)
                if (authority_exists(&as->all[i]))
                        TRY(open_files(r, dir, (enum authority_type)i));
        return authorities_collect_keys(as);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Replaces the keys of the old CA on the disk. If that fails, the next start does it: the journal has the keys. */
static struct error *replace_files(struct rotations *r, enum authority_type type)
{
        struct ca_rotation *one = &r->all[type];
        struct error *err = write_files(r, type);

        if (err != NULL) {
                log_warn("The keys of the old CA stay on the disk until the next start", LOG_C("type", authority_name(type)), LOG_ERR(err));
                error_free(err);
                return NULL;
        }
        ca_keys_release(&one->current);
        return write_record(r, r->all);
}

/* Writes the record with `next` in the place of the rotation of that type. */
static struct error *write_next(struct rotations *r, enum authority_type type, const struct ca_rotation *next)
{
        struct ca_rotation all[AUTHORITY_COUNT];

        memcpy(all, r->all, sizeof all);
        all[type] = *next;
        return write_record(r, all);
}

/* The functions below get `next` with the keys of the current record, which they borrow. */

static struct error *begin(struct rotations *r, struct authorities *as, enum authority_type type, struct ca_rotation *next,
                           const struct ca_template *t)
{
        AUTO(ca_keys) keys = { 0 };
        AUTO(authority) made = { 0 };

        TRY(ca_keys_generate(t, type, &keys));
        TRY(authority_of_keys(&made, &keys, buf_str(&as->cluster)));
        next->next = keys;
        TRY(write_next(r, type, next));
        keys = (struct ca_keys){ 0 };
        as->next[type] = made;
        made = (struct authority){ 0 };
        return NULL;
}

static struct error *keep_old(struct rotations *r, struct authorities *as, enum authority_type type, struct ca_rotation *next)
{
        struct ca_keys dropped = next->next;

        next->next = (struct ca_keys){ 0 };
        TRY(write_next(r, type, next));
        ca_keys_release(&dropped);
        authority_release(&as->next[type]);
        return NULL;
}

static struct error *keep_new(struct rotations *r, struct authorities *as, enum authority_type type, struct ca_rotation *next)
{
        struct ca_keys dropped = next->current;

        next->current = next->next;
        next->next = (struct ca_keys){ 0 };
        TRY(write_next(r, type, next));
        ca_keys_release(&dropped);
        authority_release(&as->all[type]);
        as->all[type] = as->next[type];
        as->next[type] = (struct authority){ 0 };
        return NULL;
}

static struct error *check(const struct ca_rotation *now, struct str id, enum ca_phase phase)
{
        bool is_same = str_equal(id, str_of(now->id));

        TRY(ca_phase_check_step(now->phase, phase));
        if (now->phase == CA_STANDBY && is_same)
                return error_new(ERROR_FAILED_PRECONDITION, "this rotation has ended");
        if (now->phase != CA_STANDBY && !is_same)
                return error_new(ERROR_FAILED_PRECONDITION, "another rotation of this CA is in progress");
        return NULL;
}

struct error *rotations_step(struct rotations *r, struct authorities *as, enum authority_type type, struct str id, enum ca_phase phase,
                             const struct ca_template *t)
{
        struct ca_rotation *one = &r->all[type], next = *one;

        if (!name_is_host_id(id) || id.len != ROTATION_ID)
                return error_new(ERROR_INVALID_ARGUMENT, "the ID of a rotation is not a UUID");
        if (one->phase == phase && str_equal(id, str_of(one->id)))
                return NULL;
        if (!authority_exists(&as->all[type]))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "there is no %s CA yet", authority_name(type)),
                                  "the log of the Auth Service's start has the reason; restart the service when it is remedied");
        TRY(check(one, id, phase));
        next.phase = phase;
        memcpy(next.id, id.ptr, id.len);
        if (phase == CA_INIT)
                TRY(begin(r, as, type, &next, t));
        else if (phase != CA_STANDBY)
                TRY(write_next(r, type, &next));
        else if (one->phase == CA_ROLLBACK)
                TRY(keep_old(r, as, type, &next));
        else
                TRY(keep_new(r, as, type, &next));
        *one = next;
        TRY(authorities_collect_keys(as));
        log_info("A step of the rotation of a CA was taken", LOG_C("type", authority_name(type)), LOG_C("phase", ca_phase_name(phase)),
                 LOG_C("id", one->id));
        return ca_keys_exist(&one->current) ? replace_files(r, type) : NULL;
}

struct authority *rotations_signing(const struct rotations *r, struct authorities *as, enum authority_type type, bool is_server)
{
        return ca_phase_signs_with_new(r->all[type].phase, is_server) ? &as->next[type] : &as->all[type];
}
