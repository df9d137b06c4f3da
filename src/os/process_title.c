/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_title.h"

#include <stdint.h>
#include <sys/prctl.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"
#include "os/file.h"

enum { STAT_MAX = 4 * KiB, FIELD_ARG_START = 48, FIELD_ARG_END = 49 };

void process_set_name(const char *name)
{
        prctl(PR_SET_NAME, name);
}

/* Where the command line lies, from /proc/self/stat (proc(5)); the second field may hold anything between its parentheses. */
static bool find_arguments(char **ret, size_t *ret_len)
{
        AUTO(buf) text = BUF_MAX(STAT_MAX);
        AUTO_PTR(error) err = file_read("/proc/self/stat", &text);
        struct str rest = buf_str(&text);
        int64_t start = 0, end = 0;
        size_t close = rest.len;

        while (close > 0 && rest.ptr[close - 1] != ')')
                close--;
        rest = str_trim(str_slice(rest, close, rest.len));
        for (int field = 3; err == NULL && field <= FIELD_ARG_END; field++) {
                struct str word = str_split(&rest, ' ');

                if (field == FIELD_ARG_START)
                        err = parse_int(word, 1, INT64_MAX, "start of the arguments", &start);
                else if (field == FIELD_ARG_END)
                        err = parse_int(word, 1, INT64_MAX, "end of the arguments", &end);
        }
        if (err != NULL || end - start < 2)
                return false;
        *ret = (char *)(intptr_t)start;
        *ret_len = (size_t)(end - start);
        return true;
}

void process_set_title(const char *title)
{
        char *arguments;
        size_t room, len = strlen(title);

        process_set_name(title);
        if (!find_arguments(&arguments, &room))
                return;
        if (len > room - 1)
                len = room - 1;
        memset(arguments, 0, room); /* ends with a NUL: the kernel shows no more than this */
        memcpy(arguments, title, len);
}
