/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_title.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"

/* A file of a process with `words`, which has called itself `title`; NUL is shown as '|'. */
static char *seen(const char *title, const char *file, const char *more)
{
        char *const words[] = { "/proc/self/exe", unconst(title), unconst(more), NULL };
        AUTO(buf) text = BUF_MAX(4 * KiB);
        int ready[2], go[2], status;
        char byte;

        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(go), 0);
        pid_t pid = fork();
        if (pid == 0) {
                dup2(ready[1], STDOUT_FILENO);
                dup2(go[0], STDIN_FILENO);
                close(go[1]);
                execv(words[0], words);
                _exit(127);
        }
        close(ready[1]);
        close(go[0]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        AUTO_MEM char *path = mem_printf("/proc/%ld/%s", (long)pid, file);
        assert_null(file_read(path, &text));
        close(go[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        close(ready[0]);
        for (size_t i = 0; i < text.len; i++)
                if (text.ptr[i] == '\0')
                        text.ptr[i] = '|';
        return buf_take(&text);
}

static void replaces_the_whole_command_line(void **state)
{
        (void)state;
        AUTO_MEM char *line = seen("tsh: relay", "cmdline", "--password=secret");
        AUTO_MEM char *name = seen("tsh: relay", "comm", "--password=secret");
        AUTO_MEM char *environment = seen("tsh: relay", "environ", "--password=secret");

        assert_int_equal(strspn(line + strlen("tsh: relay"), "|"), strlen(line) - strlen("tsh: relay"));
        assert_memory_equal(line, "tsh: relay", strlen("tsh: relay"));
        assert_string_equal(name, "tsh: relay\n");
        assert_non_null(strstr(environment, "PATH="));
}

static void cuts_a_title_that_has_no_room(void **state)
{
        (void)state;
        AUTO_MEM char *line = seen("a title that is much longer than all of the words before it", "cmdline", "");
        AUTO_MEM char *name = seen("a title that is much longer than all of the words before it", "comm", "");

        assert_memory_equal(line, "a title that", strlen("a title that"));
        assert_string_equal(name, "a title that is\n");
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(replaces_the_whole_command_line),
                cmocka_unit_test(cuts_a_title_that_has_no_room),
        };

        if (argc == 3) { /* the observed process: it ends with its input */
                char byte;
                AUTO_MEM char *title = mem_printf("%s", argv[1]);

                process_set_title(title);
                if (write(STDOUT_FILENO, "x", 1) == 1)
                        (void)!read(STDIN_FILENO, &byte, 1);
                return 0;
        }
        return cmocka_run_group_tests_name("process_title", tests, NULL, NULL);
}
