/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is the file of the journal as a crash or a faulty disk left it, and then the record of a whole journal. What a start reads is what the
 * next start reads; a record that is written is read, whatever was in the file; a rotation that is accepted is accepted again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "os/file.h"
#include "signer/ca_journal.h"
#include "signer/rotation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 2 * CA_JOURNAL_SLOT };

static char dir[64]; /* of this process, in memory */

static void remove_dir(void)
{
        (void)rmdir(dir);
}

static void make_dir(void)
{
        if (dir[0] != '\0')
                return;
        snprintf(dir, sizeof dir, "%s/ca_journal_fuzz.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (mkdtemp(dir) == NULL)
                bug("there is no place for the journal");
        atexit(remove_dir);
}

static void clear_dir(void)
{
        DIR *entries = opendir(dir);

        for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
                if (entry->d_name[0] != '.')
                        unlinkat(dirfd(entries), entry->d_name, 0);
        closedir(entries);
}

static void write_file(struct str bytes)
{
        AUTO_MEM char *path = mem_printf("%s/rotation", dir);
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0 || !fd_write_all(fd, bytes))
                bug("the journal of the test cannot be written");
}

/* Opens the journal; false: it is refused, as damaged. */
static bool opens(struct ca_journal *j, struct buf *record)
{
        AUTO_PTR(error) err = ca_journal_open(j, dir, record);

        if (err != NULL && err->code != ERROR_FAILED_PRECONDITION)
                bug("a journal in memory cannot be opened");
        return err == NULL;
}

static void check_record(struct str expected)
{
        struct ca_journal j = { 0 };
        AUTO(buf) record = BUF_MAX(CA_JOURNAL_RECORD);

        if (!opens(&j, &record) || !str_equal(buf_str(&record), expected))
                bug("the record is not the one that was read or written before");
        ca_journal_release(&j);
}

static void check_file(struct str bytes)
{
        struct ca_journal j = { 0 };
        AUTO(buf) record = BUF_MAX(CA_JOURNAL_RECORD);

        write_file(bytes);
        if (!opens(&j, &record))
                return;
        if (record.overflowed)
                bug("a record is larger than its limit");
        check_record(buf_str(&record));
        AUTO_PTR(error) err = ca_journal_write(&j, STR("the next record"));
        if (err != NULL)
                bug("a record cannot be written");
        check_record(STR("the next record"));
        ca_journal_release(&j);
}

static bool rotations_open_with(struct rotations *r)
{
        AUTO_PTR(error) err = rotations_open(r, dir);

        if (err != NULL && err->code == ERROR_DATA_LOSS)
                bug("the record in memory cannot be written");
        return err == NULL;
}

static void check_rotations(struct str record)
{
        struct ca_journal j = { 0 };
        AUTO(buf) none = BUF_MAX(CA_JOURNAL_RECORD);
        struct rotations first = { 0 }, second = { 0 };

        clear_dir();
        if (!opens(&j, &none))
                bug("a new journal cannot be made");
        AUTO_PTR(error) err = ca_journal_write(&j, record);
        if (err != NULL)
                bug("a record cannot be written");
        ca_journal_release(&j);
        bool is_accepted = rotations_open_with(&first);
        if (is_accepted && !rotations_open_with(&second))
                bug("a record that was accepted is refused");
        for (size_t i = 0; is_accepted && i < AUTHORITY_COUNT; i++) {
                if (first.all[i].phase != second.all[i].phase || strcmp(first.all[i].id, second.all[i].id) != 0)
                        bug("a record is read differently");
                if (ca_keys_exist(&first.all[i].current))
                        bug("files of a CA were left unfinished");
        }
        rotations_release(&first);
        rotations_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        make_dir();
        if (size <= FILE_MAX)
                check_file(str_of_bytes(data, size));
        if (size <= CA_JOURNAL_RECORD)
                check_rotations(str_of_bytes(data, size));
        clear_dir();
        return 0;
}
