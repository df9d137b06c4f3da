/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: a directory of the test's own, and the files in it.
 */
#ifndef OS_FILE_TESTING_H
#define OS_FILE_TESTING_H

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/error_testing.h"
#include "base/mem.h"
#include "os/file.h"

/* An empty directory that no other user may enter. Freed by test_dir_free(). */
static inline UNUSED char *test_dir_new(void)
{
        char *dir = mem_printf("/tmp/cteleport-test.XXXXXX");

        assert_non_null(mkdtemp(dir));
        return dir;
}

static inline UNUSED int test_dir_remove_entry(const char *path, const struct stat *st UNUSED, int type UNUSED, struct FTW *at UNUSED)
{
        return remove(path);
}

/* Removes the directory with all that is in it. */
static inline UNUSED void test_dir_free(char *dir)
{
        nftw(dir, test_dir_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(dir);
}

/* The caller frees. */
static inline UNUSED char *path_in(const char *dir, const char *name)
{
        return mem_printf("%s/%s", dir, name);
}

/* Writes a file that its owner alone may read. */
static inline UNUSED void given_file(const char *dir, const char *name, const char *text)
{
        AUTO_MEM char *path = path_in(dir, name);

        assert_done(file_write_atomic(path, str_of(text), 0600));
}

/* Permission bits. */
static inline UNUSED mode_t mode_of(const char *path)
{
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_mode & 07777;
}

static inline UNUSED off_t size_of(const char *path)
{
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_size;
}

static inline UNUSED size_t count_entries(const char *path)
{
        DIR *dir = opendir(path);
        size_t count = 0;

        assert_non_null(dir);
        while (readdir(dir) != NULL)
                count++;
        closedir(dir);
        return count - 2; /* "." and ".." */
}

/* Limits the size of files from now on; RLIM_INFINITY removes the limit. A longer write fails with EFBIG. */
static inline UNUSED void limit_file_size(rlim_t bytes)
{
        struct rlimit limit;

        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = bytes;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif
