/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_title.h"

#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>

#include "os/process_stat.h"

void process_set_name(const char *name)
{
        prctl(PR_SET_NAME, name);
}

/* Finds the memory of the command line. */
static bool find_arguments(char **ret, size_t *ret_len)
{
        struct process_stat self;

        if (!process_stat_read(0, &self) || self.arguments == 0 || self.arguments_end < self.arguments + 2)
                return false;
        *ret = (char *)(uintptr_t)self.arguments;
        *ret_len = (size_t)(self.arguments_end - self.arguments);
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
        memset(arguments, 0, room); /* ends with a NUL: the kernel shows no bytes after it */
        memcpy(arguments, title, len);
}
