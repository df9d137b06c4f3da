/* SPDX-License-Identifier: Apache-2.0 */
#include "session/sshd_preload.h"

extern const char preload_image[], preload_image_end[], session_image[], session_image_end[];

struct str sshd_preload_image(void)
{
        return str_of_bytes(preload_image, (size_t)(preload_image_end - preload_image));
}

struct str session_program_image(void)
{
        return str_of_bytes(session_image, (size_t)(session_image_end - session_image));
}
