/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files and folders given as arguments: the corpus as an ordinary test.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static int replay_file(const char *path)
{
        FILE *f = fopen(path, "rb");
        struct stat st;

        if (f == NULL || fstat(fileno(f), &st) != 0) {
                perror(path);
                return 1;
        }
        size_t size = (size_t)st.st_size;
        uint8_t *data = malloc(size + 1);
        if (data == NULL || fread(data, 1, size, f) != size) {
                perror(path);
                return 1;
        }
        fclose(f);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        replayed++;
        return 0;
}

static int replay_folder(const char *path)
{
        DIR *dir = opendir(path);
        struct dirent *entry;
        int failed = 0;

        if (dir == NULL) {
                perror(path);
                return 1;
        }
        while ((entry = readdir(dir)) != NULL) {
                char name[4096];

                if (entry->d_name[0] == '.')
                        continue;
                snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
                failed |= replay_file(name);
        }
        closedir(dir);
        return failed;
}

int main(int argc, char **argv)
{
        int failed = 0;

        for (int i = 1; i < argc; i++) {
                struct stat st;

                if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
                        failed |= replay_folder(argv[i]);
                else
                        failed |= replay_file(argv[i]);
        }
        printf("%zu inputs replayed\n", replayed);
        return failed != 0 || replayed == 0; /* an empty corpus tests nothing */
}
