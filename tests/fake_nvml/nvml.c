/* A stand-in for libnvidia-ml.so.1, written from the documented interface of NVML (nvml.h): what the tests need of it.
 *
 * FAKE_NVML chooses the machine: "one", "two", "none" (no GPU), "no-driver", "no-permission", "silent" (a GPU that does
 * not tell its utilisation, screen, mode or processes), "lost" (a GPU that fell off the bus), "half-lost" (the first of
 * two did).
 *
 * FAKE_NVML_FILE names a file that says it all instead and is read anew at every question, so that a test can change the
 * machine while it runs. One line for each GPU: total bytes, used bytes, whether it drives a screen (0 or 1), compute
 * mode (0, 2 or 3), then words in any order:
 *   pid:bytes or pid:bytes:percent   a process on it; bytes "-": not told
 *   pid::percent                     a process that used it and is in no list
 *   gpu=37 temp=71 slow=93 margin=20 power=120 (W) fan=40 (%) energy=5000 (J)    what is not given is not supported
 *   use=none                         the use by processes is not supported
 *   at=SECONDS                       when the use was sampled, since the epoch; otherwise always just now
 *   pci=BUS
 * A first line of one word: "no-driver", "no-permission", "none" and "lost" as above; "hang": every call sleeps for ever;
 * "reset": what was open before must be opened anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

typedef unsigned int uint;
typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory_t;
typedef struct { uint gpu, memory; } utilization_t;
typedef struct { uint pid; u64 used; uint gpu_instance, compute_instance; } process_t;
typedef struct { uint pid; u64 at_us; uint sm, memory, encoder, decoder; } sample_t;
typedef struct { char legacy[16]; uint domain, bus, device, id, subsystem; char text[32]; } pci_t;
typedef struct { uint version; int margin; } margin_t;

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
       INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, UNKNOWN = 999 };
enum { MOST_GPUS = 8, MOST_PROCESSES = 16 };
#define NOT_TOLD (~0ULL)

typedef struct {
    u64 total, used, at_us;
    uint screen, mode, bus, listed, sampled;
    int gpu, temperature, slowdown, margin, power, fan, no_use; /* -1: not supported */
    long long energy;
    process_t process[MOST_PROCESSES];
    sample_t sample[MOST_PROCESSES];
} gpu_t;

static int opened = 0, asked = 0;
static char since_reset[32] = ""; /* the directive under which it was opened */
static int devices[MOST_GPUS] = {0, 1, 2, 3, 4, 5, 6, 7};

/* The first line of the file where it is one word, otherwise FAKE_NVML. */
static void chosen(char *word, size_t size) {
    const char *path = getenv("FAKE_NVML_FILE"), *machine = getenv("FAKE_NVML");
    char line[64] = "";
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file && fgets(line, sizeof line, file) && (line[0] < '0' || line[0] > '9')) {
        line[strcspn(line, "\n")] = 0;
        machine = line;
    } else if (file) {
        machine = "";
    }
    snprintf(word, size, "%s", machine ? machine : "one");
    if (file) fclose(file);
}

static int is(const char *machine) {
    char word[64];
    chosen(word, sizeof word);
    while (strcmp(word, "hang") == 0) sleep(3600);
    return strcmp(word, machine) == 0;
}

static int put(char *into, uint length, const char *text) {
    if (strlen(text) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(into, text);
    return SUCCESS;
}

static u64 now_us(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    return now.tv_sec * 1000000ULL + now.tv_usec;
}

static void take_process(gpu_t *gpu, const char *word) {
    uint pid = strtoul(word, NULL, 10);
    const char *bytes = strchr(word, ':') + 1, *percent = strchr(bytes, ':');
    if (*bytes != ':' && gpu->listed < MOST_PROCESSES)
        gpu->process[gpu->listed++] = (process_t){pid, *bytes == '-' ? NOT_TOLD : strtoull(bytes, NULL, 10), 0, 0};
    if (percent && gpu->sampled < MOST_PROCESSES) /* the decoder may be what is used most */
        gpu->sample[gpu->sampled++] = (sample_t){pid, 0, strtoul(percent + 1, NULL, 10) / 2, 3, 0,
                                                 strtoul(percent + 1, NULL, 10)};
}

static void take(gpu_t *gpu, const char *word) {
    const char *value = strchr(word, '=');
    if (!value) {
        if (strchr(word, ':')) take_process(gpu, word);
        return;
    }
    long long number = strtoll(++value, NULL, 10);
    if (!strncmp(word, "gpu=", 4)) gpu->gpu = number;
    if (!strncmp(word, "temp=", 5)) gpu->temperature = number;
    if (!strncmp(word, "slow=", 5)) gpu->slowdown = number;
    if (!strncmp(word, "margin=", 7)) gpu->margin = number;
    if (!strncmp(word, "power=", 6)) gpu->power = number;
    if (!strncmp(word, "fan=", 4)) gpu->fan = number;
    if (!strncmp(word, "energy=", 7)) gpu->energy = number;
    if (!strncmp(word, "at=", 3)) gpu->at_us = strtod(value, NULL) * 1e6;
    if (!strncmp(word, "pci=", 4)) gpu->bus = number;
    if (!strcmp(word, "use=none")) gpu->no_use = 1;
}

/* All GPUs as they are now; returns how many. */
static uint look(gpu_t *gpus) {
    const char *path = getenv("FAKE_NVML_FILE");
    uint count = 0;
    memset(gpus, 0, MOST_GPUS * sizeof *gpus);
    for (uint i = 0; i < MOST_GPUS; i++) {
        gpus[i].gpu = 37;
        gpus[i].bus = i + 1;
        gpus[i].temperature = gpus[i].slowdown = gpus[i].margin = gpus[i].power = gpus[i].fan = gpus[i].energy = -1;
    }
    if (!path) {
        count = is("two") || is("half-lost") ? 2 : is("none") ? 0 : 1;
        for (uint i = 0; i < count; i++) {
            gpus[i].total = (i ? 24ULL : 8ULL) << 30;
            gpus[i].used = 1ULL << 30;
            gpus[i].screen = i == 0;
            gpus[i].temperature = 51;
            gpus[i].slowdown = 93;
            gpus[i].power = 120;
            gpus[i].fan = 40;
            gpus[i].energy = 5000;
        }
        return count;
    }
    FILE *file = fopen(path, "r");
    char line[4096];
    while (file && count < MOST_GPUS && fgets(line, sizeof line, file)) {
        gpu_t *gpu = &gpus[count];
        int at = 0;
        if (sscanf(line, "%llu %llu %u %u%n", &gpu->total, &gpu->used, &gpu->screen, &gpu->mode, &at) < 4) continue;
        for (char *word = strtok(line + at, " \n"); word; word = strtok(NULL, " \n")) take(gpu, word);
        count++;
    }
    if (file) fclose(file);
    return count;
}

static int number(void *device) { return *(int *)device; }

static gpu_t of(void *device) {
    gpu_t gpus[MOST_GPUS];
    look(gpus);
    return gpus[number(device)];
}

int nvmlInit_v2(void) {
    asked++;
    if (is("no-driver")) return DRIVER_NOT_LOADED;
    if (is("no-permission")) return NO_PERMISSION;
    opened++;
    chosen(since_reset, sizeof since_reset);
    return SUCCESS;
}

int nvmlInitWithFlags(uint flags) { (void)flags; return nvmlInit_v2(); }

int nvmlShutdown(void) {
    if (!opened || is("no-driver")) return UNINITIALIZED;
    opened--;
    return SUCCESS;
}

/* For the tests alone: how often it was opened and not closed, and how often somebody wanted to open it. */
int fakeStillOpen(void) { return opened; }
int fakeAsked(void) { return asked; }

const char *nvmlErrorString(int code) {
    switch (code) {
        case DRIVER_NOT_LOADED: return "Driver Not Loaded";
        case NO_PERMISSION: return "Insufficient Permissions";
        case NOT_SUPPORTED: return "Not Supported";
        case GPU_IS_LOST: return "GPU is lost";
        default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, uint length) {
    if (is("no-driver") || (is("reset") && strcmp(since_reset, "reset"))) return UNINITIALIZED;
    return put(version, length, "550.00");
}

int nvmlDeviceGetCount_v2(uint *count) {
    gpu_t gpus[MOST_GPUS];
    *count = is("lost") ? 1 : look(gpus);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(uint index, void **device) {
    gpu_t gpus[MOST_GPUS];
    if (is("lost") || (is("half-lost") && index == 0)) return GPU_IS_LOST;
    if (index >= look(gpus)) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *name, uint length) {
    char text[64];
    snprintf(text, sizeof text, "NVIDIA Stand-in %llu", of(device).total >> 30);
    return put(name, length, text);
}

int nvmlDeviceGetUUID(void *device, char *uuid, uint length) {
    char text[64];
    snprintf(text, sizeof text, "GPU-00000000-0000-0000-0000-%012d", number(device));
    return put(uuid, length, text);
}

int nvmlDeviceGetPciInfo_v3(void *device, pci_t *pci) {
    memset(pci, 0, sizeof *pci);
    pci->bus = of(device).bus;
    snprintf(pci->text, sizeof pci->text, "00000000:%02X:00.0", pci->bus);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    gpu_t gpu = of(device);
    *memory = (memory_t){gpu.total, gpu.total - gpu.used, gpu.used};
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
    if (is("silent")) return NOT_SUPPORTED;
    *rates = (utilization_t){of(device).gpu, 5};
    return SUCCESS;
}

int nvmlDeviceGetDisplayActive(void *device, uint *active) {
    if (is("silent")) return NOT_SUPPORTED;
    *active = of(device).screen;
    return SUCCESS;
}

int nvmlDeviceGetComputeMode(void *device, uint *mode) {
    if (is("silent")) return NOT_SUPPORTED;
    *mode = of(device).mode;
    return SUCCESS;
}

static int told(int value, uint *into, uint times) {
    if (is("silent") || value < 0) return NOT_SUPPORTED;
    *into = value * times;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *device, int sensor, uint *celsius) {
    return sensor ? INVALID_ARGUMENT : told(of(device).temperature, celsius, 1);
}

int nvmlDeviceGetTemperatureThreshold(void *device, int threshold, uint *celsius) {
    return threshold == 1 ? told(of(device).slowdown, celsius, 1) : INVALID_ARGUMENT;
}

int nvmlDeviceGetMarginTemperature(void *device, margin_t *margin) {
    return told(of(device).margin, (uint *)&margin->margin, 1);
}

int nvmlDeviceGetPowerUsage(void *device, uint *milliwatts) { return told(of(device).power, milliwatts, 1000); }

int nvmlDeviceGetFanSpeed(void *device, uint *percent) { return told(of(device).fan, percent, 1); }

int nvmlDeviceGetTotalEnergyConsumption(void *device, u64 *millijoules) {
    long long energy = of(device).energy;
    if (is("silent") || energy < 0) return NOT_SUPPORTED;
    *millijoules = energy * 1000ULL;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, uint *count, process_t *processes) {
    if (is("silent")) return NOT_SUPPORTED;
    gpu_t gpu = of(device);
    uint room = *count;
    *count = gpu.listed;
    if (room < gpu.listed) return INSUFFICIENT_SIZE;
    if (gpu.listed) memcpy(processes, gpu.process, gpu.listed * sizeof *processes);
    return SUCCESS;
}

/* The last process draws as well: a driver names such a one in both lists. */
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, uint *count, process_t *processes) {
    if (is("silent")) return NOT_SUPPORTED;
    gpu_t gpu = of(device);
    uint room = *count;
    *count = gpu.listed ? 1 : 0;
    if (room < *count) return INSUFFICIENT_SIZE;
    if (*count) processes[0] = gpu.process[gpu.listed - 1];
    return SUCCESS;
}

int nvmlDeviceGetProcessUtilization(void *device, sample_t *samples, uint *count, u64 since_us) {
    gpu_t gpu = of(device);
    if (is("silent") || gpu.no_use) return NOT_SUPPORTED;
    if (!samples) { /* as the driver: room for all there could ever be */
        *count = MOST_PROCESSES;
        return INSUFFICIENT_SIZE;
    }
    u64 at_us = gpu.at_us ? gpu.at_us : now_us();
    if (at_us <= since_us || !gpu.sampled) return NOT_FOUND;
    if (*count < gpu.sampled) return INSUFFICIENT_SIZE;
    *count = gpu.sampled;
    memcpy(samples, gpu.sample, gpu.sampled * sizeof *samples);
    for (uint i = 0; i < gpu.sampled; i++) samples[i].at_us = at_us;
    return SUCCESS;
}
