/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/ca_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/reader.h"
#include "os/file.h"
#include "pki/key.h"

enum { MAGIC_SIZE = 8, DIGEST_SIZE = 32, HEADER_SIZE = MAGIC_SIZE + 8 + 4 + DIGEST_SIZE, SLOTS = 2, FILE_SIZE = SLOTS * CA_JOURNAL_SLOT };

static const char magic[MAGIC_SIZE] = { 'c', 't', 'c', 'a', 'j', 'n', 'l', '1' };

/* The contents of a slot. */
struct slot {
        uint64_t generation;
        struct str record;
        bool is_written, is_valid; /* begins with the magic; is whole */
};

/* ---- encoding ------------------------------------------------------------------------------------------------ */

/* The digest covers generation, length and record. */
static void put_digest(struct buf *out, uint64_t generation, struct str record)
{
        AUTO(buf) covered = BUF_MAX(CA_JOURNAL_SLOT);
        uint8_t digest[DIGEST_SIZE];

        buf_put_u64(&covered, generation);
        buf_put_u32(&covered, (uint32_t)record.len);
        buf_put(&covered, record);
        sha256(buf_str(&covered), digest);
        wipe(covered.ptr, covered.room);
        buf_put(out, str_of_bytes(digest, sizeof digest));
}

static void put_slot(struct buf *out, uint64_t generation, struct str record)
{
        buf_put(out, str_of_bytes(magic, sizeof magic));
        buf_put_u64(out, generation);
        buf_put_u32(out, (uint32_t)record.len);
        put_digest(out, generation, record);
        buf_put(out, record);
}

static struct slot read_slot(struct str bytes)
{
        struct slot found = { .is_written = str_starts_with(bytes, str_of_bytes(magic, sizeof magic)) };
        struct reader r = reader_over(str_slice(bytes, MAGIC_SIZE, bytes.len));
        AUTO(buf) digest = BUF_MAX(DIGEST_SIZE);

        found.generation = reader_u64(&r);
        size_t len = reader_u32(&r);
        struct str stored = reader_take(&r, DIGEST_SIZE);
        if (!found.is_written || len > CA_JOURNAL_RECORD)
                return found;
        found.record = reader_take(&r, len);
        put_digest(&digest, found.generation, found.record);
        found.is_valid = reader_ok(&r) && str_equal(stored, buf_str(&digest));
        return found;
}

/* ---- the file ------------------------------------------------------------------------------------------------- */

static struct error *write_at(int fd, struct str bytes, off_t at)
{
        while (bytes.len > 0) {
                ssize_t n = pwrite(fd, bytes.ptr, bytes.len, at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_errno(n < 0 ? errno : ENOSPC, "cannot write the journal of the CA's rotation");
                bytes = str_slice(bytes, (size_t)n, bytes.len);
                at += n;
        }
        return NULL;
}

static struct error *sync_journal(int fd)
{
        return fdatasync(fd) < 0 ? error_errno(errno, "cannot sync the journal of the CA's rotation") : NULL;
}

static struct error *put_zeros(int fd, size_t from, size_t to)
{
        AUTO(buf) zeros = BUF_MAX(FILE_SIZE + 1);

        memset(buf_extend(&zeros, to - from), 0, to - from);
        TRY(write_at(fd, buf_str(&zeros), (off_t)from));
        return sync_journal(fd);
}

static struct error *wipe_slot(int fd, unsigned slot)
{
        return put_zeros(fd, (size_t)slot * CA_JOURNAL_SLOT, (size_t)(slot + 1) * CA_JOURNAL_SLOT);
}

/* Gives the file its full size, so that later writes need no space. It has less after an interrupted creation or on a full disk. */
static struct error *fill_up(struct ca_journal *j)
{
        if (j->size == FILE_SIZE)
                return NULL;
        struct error *err = put_zeros(j->fd, j->size, FILE_SIZE);
        if (err != NULL)
                (void)!ftruncate(j->fd, (off_t)j->size); /* leaves the last space of the disk to others */
        else
                j->size = FILE_SIZE;
        return err;
}

static struct error *read_file(int fd, struct buf *out)
{
        (void)buf_extend(out, FILE_SIZE);
        buf_clear(out);
        while (out->len < FILE_SIZE) {
                ssize_t n = pread(fd, out->ptr + out->len, FILE_SIZE - out->len, (off_t)out->len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(errno, "cannot read the journal of the CA's rotation");
                if (n == 0)
                        break;
                out->len += (size_t)n;
        }
        return NULL;
}

/* *ret_has_former: the other slot holds keys too. */
static struct error *choose(struct ca_journal *j, struct str bytes, struct buf *ret_record, bool *ret_has_former)
{
        struct slot slots[SLOTS];
        bool is_damaged = false;
        int chosen = -1;

        for (unsigned i = 0; i < SLOTS; i++) {
                slots[i] = read_slot(str_slice(bytes, (size_t)i * CA_JOURNAL_SLOT, (size_t)(i + 1) * CA_JOURNAL_SLOT));
                if (slots[i].is_valid && (chosen < 0 || slots[i].generation > slots[chosen].generation))
                        chosen = (int)i;
                /* The first write leaves nothing else when it is interrupted; no certificate was made with it. */
                is_damaged |= slots[i].is_written && !slots[i].is_valid && slots[i].generation > 1;
        }
        *ret_has_former = false;
        if (chosen < 0 && is_damaged)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the journal of its rotation is damaged"),
                                  "restore the directory from a backup: the file has the keys of the new CA");
        if (chosen < 0)
                return NULL;
        j->generation = slots[chosen].generation;
        j->slot = (unsigned)chosen;
        buf_put(ret_record, slots[chosen].record);
        *ret_has_former = slots[1 - chosen].is_written;
        return NULL;
}

static struct error *check_file(int fd, const char *path, size_t *ret_size)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0 || st.st_size > FILE_SIZE)
                return error_new(ERROR_FAILED_PRECONDITION, "the journal of the CA's rotation, %s, is not a private file of this user", path);
        *ret_size = (size_t)st.st_size;
        return NULL;
}

struct error *ca_journal_read(const char *dir, struct buf *ret_record)
{
        AUTO_MEM char *path = mem_printf("%s/rotation", dir);
        AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        AUTO(buf) bytes = BUF_MAX(FILE_SIZE + 1);
        struct ca_journal found = { .fd = fd };
        bool has_former;

        if (fd < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot open the journal of the CA's rotation, %s", path);
        TRY(check_file(fd, path, &found.size));
        struct error *err = read_file(fd, &bytes);
        if (err == NULL)
                err = choose(&found, buf_str(&bytes), ret_record, &has_former);
        wipe(bytes.ptr, bytes.room);
        return err == NULL ? NULL : error_wrap(err, "%s", path);
}

struct error *ca_journal_open(struct ca_journal *j, const char *dir, struct buf *ret_record)
{
        AUTO_MEM char *path = mem_printf("%s/rotation", dir);
        AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        AUTO(buf) bytes = BUF_MAX(FILE_SIZE + 1);
        struct ca_journal opened = { .fd = fd };
        bool has_former = false;

        if (fd < 0)
                return error_errno(errno, "cannot open the journal of the CA's rotation, %s", path);
        TRY(check_file(fd, path, &opened.size));
        struct error *err = fill_up(&opened);
        if (err != NULL && err->code == ERROR_RESOURCE_EXHAUSTED) { /* the CA signs without a rotation */
                error_free(err);
                err = NULL;
        }
        if (err == NULL)
                err = read_file(fd, &bytes);
        if (err == NULL)
                err = choose(&opened, buf_str(&bytes), ret_record, &has_former);
        wipe(bytes.ptr, bytes.room);
        if (err == NULL && has_former)
                err = wipe_slot(fd, 1 - opened.slot);
        if (err == NULL)
                err = dir_sync(dir);
        if (err != NULL)
                return error_wrap(err, "%s", path);
        fd = -1;
        *j = opened;
        return NULL;
}

void ca_journal_release(struct ca_journal *j)
{
        if (j->fd > 0)
                close(j->fd);
        *j = (struct ca_journal){ 0 };
}

/* Removes a record that could not be written. It may be whole, if zeros alone are missing. */
static struct error *take_back(const struct ca_journal *j, unsigned slot, struct error *write_err)
{
        struct error *err = wipe_slot(j->fd, slot);

        if (err == NULL)
                return write_err;
        error_free(write_err);
        return error_because(error_new(ERROR_DATA_LOSS, "the step of the CA's rotation can be neither written nor taken back"), err);
}

struct error *ca_journal_write(struct ca_journal *j, struct str record)
{
        AUTO(buf) bytes = BUF_MAX(CA_JOURNAL_SLOT);
        unsigned slot = 1 - j->slot;

        if (record.len > CA_JOURNAL_RECORD)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the record of the CA's rotation is larger than %d bytes", CA_JOURNAL_RECORD);
        TRY(fill_up(j));
        (void)buf_extend(&bytes, CA_JOURNAL_SLOT - 1);
        buf_clear(&bytes);
        put_slot(&bytes, j->generation + 1, record);
        struct error *err = write_at(j->fd, buf_str(&bytes), (off_t)slot * CA_JOURNAL_SLOT);
        wipe(bytes.ptr, bytes.room);
        if (err != NULL)
                return take_back(j, slot, err);
        err = sync_journal(j->fd);
        if (err != NULL) /* whether the record is on the disk is unknown */
                return error_because(error_new(ERROR_DATA_LOSS, "the step of the CA's rotation cannot be written"), err);
        j->generation++;
        j->slot = slot;
        err = wipe_slot(j->fd, 1 - slot); /* the caller has not taken the step that is on the disk */
        return err == NULL ? NULL : error_because(error_new(ERROR_DATA_LOSS, "the former record of the CA's rotation cannot be wiped"), err);
}
