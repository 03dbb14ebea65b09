/* Lets Debian's user-mode Linux 6.1 start on hosts with AMX.
 *
 * UML keeps 2,696 bytes of extended processor state for each task and hands them to PTRACE_SETREGSET. A host whose
 * tasks have more (AMX: about 11 KB) refuses the short buffer and UML dies in put_fp_registers. Preloaded, this
 * wrapper reads the task's whole state, lays the given bytes over it, and sets the whole: the state that UML knows
 * is switched, and what it doesn't know (the tiles) stays as it was. Refusing the extended state altogether
 * would boot as well, but loses AVX registers between threads without a word.
 *
 * DUOLOG_XSTATE_ALWAYS=1 takes the long way on every host, to test it where there is no AMX.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    XSTATE_BV_AT = 512,        /* the header's bitmap of the components that are present */
    HEADER_END = 576,
    UML_KNOWS = 0x3ff,         /* the components that fit in UML's 2,696 bytes */
    WHOLE_MAX = 64 * 1024
};

typedef long (*ptrace_call)(int, pid_t, void *, void *);

static uint64_t bitmap_of(const unsigned char *state) {
    uint64_t bitmap;
    memcpy(&bitmap, state + XSTATE_BV_AT, sizeof bitmap);
    return bitmap;
}

long ptrace(enum __ptrace_request request, ...) {
    static ptrace_call real;
    if (!real)
        real = (ptrace_call)dlsym(RTLD_NEXT, "ptrace");
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);

    if (request != PTRACE_SETREGSET || (uintptr_t)address != NT_X86_XSTATE)
        return real(request, pid, address, data);
    const struct iovec *given = data;
    static _Thread_local unsigned char whole[WHOLE_MAX];
    struct iovec own = {whole, sizeof whole};
    if (given->iov_len < HEADER_END || real(PTRACE_GETREGSET, pid, address, &own) != 0)
        return real(request, pid, address, data);
    if (own.iov_len < given->iov_len || (own.iov_len == given->iov_len && !getenv("DUOLOG_XSTATE_ALWAYS")))
        return real(request, pid, address, data);

    uint64_t unknown = bitmap_of(whole) & ~(uint64_t)UML_KNOWS;
    memcpy(whole, given->iov_base, given->iov_len);
    uint64_t bitmap = (bitmap_of(whole) & UML_KNOWS) | unknown;
    memcpy(whole + XSTATE_BV_AT, &bitmap, sizeof bitmap);
    return real(request, pid, address, &own);
}
