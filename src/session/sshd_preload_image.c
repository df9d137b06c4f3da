/* SPDX-License-Identifier: Apache-2.0 */
#include "session/sshd_preload.h"

#include <string.h>

#include "base/bug.h"

extern const char preload_image[], preload_image_end[];

enum { ALIGNMENT = 16 }; /* of image.c.in: offsets in the file have the same alignment as addresses in memory */

struct str sshd_preload_image(void)
{
        return str_of_bytes(preload_image, (size_t)(preload_image_end - preload_image));
}

/* Finds a program within the library, so that `teleport` has no second copy of it. */
static struct str program_in_library(const char *mark)
{
        struct str library = sshd_preload_image();
        const char *found = memmem(library.ptr, library.len, mark, strlen(mark));
        uint64_t len = 0;

        if (found == NULL)
                bug("the library of sshd lacks the image behind '%s'", mark);
        size_t at = (size_t)(found - library.ptr) + strlen(mark);
        at = (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (at + ALIGNMENT <= library.len)
                memcpy(&len, library.ptr + at, sizeof len);
        if (len == 0 || len > library.len - at - ALIGNMENT)
                bug("the library of sshd is cut off behind '%s'", mark);
        return str_of_bytes(library.ptr + at + ALIGNMENT, (size_t)len);
}

struct str session_program_image(void)
{
        static struct str found;

        if (found.len == 0)
                found = program_in_library("\nimage of session_image\n");
        return found;
}

struct str authorize_program_image(void)
{
        static struct str found;

        if (found.len == 0)
                found = program_in_library("\nimage of authorize_image\n");
        return found;
}
