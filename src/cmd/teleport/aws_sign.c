/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "api/service.h"
#include "aws/sign_service.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/teleport/commands.h"
#include "os/sandbox.h"

/* Credential files and a credential_process may be anywhere; such a process keeps its cache in ~/.aws. */
static struct error *enter_sandbox(void)
{
        const char *home = getenv("HOME");
        AUTO_MEM char *aws_dir = mem_printf("%s/.aws", home == NULL ? "" : home);
        const char *const read[] = { "/", NULL };
        const char *const write[] = { "/tmp", "/dev/null", access(aws_dir, W_OK) == 0 ? aws_dir : NULL, NULL };

        return sandbox_enter(SANDBOX_AWS_SIGN, (struct sandbox_paths){ .read = read, .write = write });
}

static struct error *sign(int fd)
{
        TRY(enter_sandbox());
        log_debug("sandbox", LOG_C("has", sandbox_describe()));
        return aws_sign_serve(fd, &(struct aws_resolve_options){ 0 });
}

int aws_sign_main(struct service *s)
{
        int fd = service_take_fd(s, "client");
        struct error *err = sign(fd);
        int code = err != NULL;

        if (err != NULL)
                log_warn("Nothing was signed", LOG_ERR(err));
        error_free(err);
        close(fd);
        service_end(s);
        return code;
}
